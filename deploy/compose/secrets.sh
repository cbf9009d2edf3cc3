#!/bin/sh
# Draws the secrets that docker-compose.yml mounts, once, into a directory that
# is in no repository and no image. Nothing that is there is changed, so that it
# can be run again when a new version needs a new one.
#
#   sh deploy/compose/secrets.sh            # into deploy/secrets
#   sh deploy/compose/secrets.sh DIRECTORY
set -eu

dir=${1:-$(dirname "$0")/../secrets}
command -v openssl >/dev/null || {
	echo "secrets.sh: openssl is needed to draw secrets" >&2
	exit 1
}
(umask 077 && mkdir -p "$dir")
chmod 700 "$dir" # the files inside are readable, for the containers' users, who come by no path
umask 022
cd "$dir"

# Letters first: NATS takes what is only digits for a number.
draw() { printf 'p%s' "$(openssl rand -hex 24)"; }
token() { openssl rand -base64 32 | tr '+/' '-_' | tr -d '=\n'; } # 43 characters

# A file appears whole or not at all; $1 is its name, its text comes from stdin.
keep() {
	cat >".$1.new"
	mv ".$1.new" "$1"
}

# $1 is a name; prints its password, drawn the first time.
password() {
	[ -f "$1.password" ] || draw | keep "$1.password"
	cat "$1.password"
}

sha256() { printf %s "$1" | openssl dgst -sha256 -r | cut -d' ' -f1; }

[ -f master.key ] || openssl rand -base64 32 | keep master.key
[ -f first.key ] || printf 'wc_live_%s' "$(token)" | keep first.key
[ -f first.token ] || printf 'wct_%s' "$(token)" | keep first.token

# What each service is told: who it is to NATS and to ClickHouse, and the key
# that opens sealed secrets. migrate makes the streams and the tables; backup makes
# backups, and puts them back.
for service in receiver normalizer writer api backup migrate; do
	user=$service
	[ $service != migrate ] || user="admin"
	{
		echo "bus: {user: $user, password: $(password nats-$user)}"
		if [ $service != receiver ]; then
			echo "store: {dsn: 'clickhouse://whatchanged_$service:$(password clickhouse-$service)@clickhouse:9000'}"
		fi
		if [ $service != migrate ]; then
			echo "master_key: $(cat master.key)"
		fi
		if [ $service = api ]; then
			echo "bootstrap: {api_key: $(cat first.key), token: $(cat first.token)}"
		fi
	} | keep $service.yaml
done

# What the servers are told.
{
	for user in receiver normalizer writer api backup admin system; do
		echo "NATS_$(echo $user | tr "[:lower:]" "[:upper:]")_PASSWORD=$(password nats-$user)"
	done
} | keep nats.env
echo "CLICKHOUSE_ADMIN_SHA256=$(sha256 "$(password clickhouse-admin)")" | keep clickhouse.env
{
	echo "CLICKHOUSE_ADMIN_PASSWORD=$(password clickhouse-admin)"
	for user in api backup grafana migrate normalizer writer; do
		echo "CLICKHOUSE_$(echo $user | tr "[:lower:]" "[:upper:]")_SHA256=$(sha256 "$(password clickhouse-$user)")"
	done
} | keep access.env
echo "CLICKHOUSE_PASSWORD=$(password clickhouse-grafana)" | keep grafana.env
password grafana-admin >/dev/null

echo "the secrets are in $(pwd); the first API key is in first.key, the first source's token in first.token"
