#!/bin/sh
# Makes a data directory as the program given leaves it, and packs it: how
# data.tar.zst was made. See README.md for why it is not made again.
#
#   sh make.sh WHATCHANGED OUT.tar.zst
#
# It needs curl, jq, openssl, tar and zstd.
set -eu
program=$(realpath "$1")
out=$(realpath "$2")
here=$(cd "$(dirname "$0")" && pwd)
work=$(mktemp -d)
trap 'kill "$server" 2>/dev/null || :; rm -rf "$work"' EXIT
server=

listen=127.0.0.1:18731
export WHATCHANGED_URL=http://$listen WHATCHANGED_KEY=wc_live_dump-of-v0-1-0-admin
cd "$work"
# Payloads for 50 years: they are still looked for long after 90 days.
WHATCHANGED_STORE_PAYLOAD_DAYS=18000 WHATCHANGED_BUS_MAX_BYTES=200000000 \
WHATCHANGED_BOOTSTRAP_API_KEY=$WHATCHANGED_KEY WHATCHANGED_BOOTSTRAP_TOKEN=wct_dump-of-v0-1-0-token \
	"$program" serve --data-dir data --listen $listen >server.log 2>&1 &
server=$!
until curl -fsS -o /dev/null "$WHATCHANGED_URL/readyz" 2>/dev/null; do
	kill -0 $server || { cat server.log; exit 1; }
	sleep 0.2
done

w() { "$program" "$@"; }
# post URL FILE HEADER...: a delivery, which must be taken.
post() {
	url=$1 file=$2
	shift 2
	for header; do set -- "$@" -H "$header"; shift; done
	curl -fsS -o answer "$@" -H 'Content-Type: application/json' --data-binary "@$here/$file" "$url"
}
sign() { openssl dgst -sha256 -hmac "$1" "$here/$2" | sed 's/.*= //'; }
until_n() { # until_n N COMMAND...: until its list has N entries
	n=$1
	shift
	for _ in $(seq 300); do
		[ "$(w "$@" --json | jq .meta.total)" = "$n" ] && return
		sleep 0.2
	done
	echo "never had $n: $*" >&2
	exit 1
}

w services create Checkout --id svc_checkout --resource PF9KMXH --repository acme/shop
printf 'github-secret' >github.secret
printf 'gitlab-secret' >gitlab.secret
printf 'pagerduty-secret' >pagerduty.secret
github=$(w sources create github --provider github --auth github_hmac --secret-file github.secret --env production)
gitlab=$(w sources create gitlab --provider gitlab --auth gitlab_token --secret-file gitlab.secret --map 'acme/*=svc_checkout')
pagerduty=$(w sources create pagerduty --provider pagerduty --auth hmac --secret-file pagerduty.secret --env production)
alerts=$(w sources create alerts --provider alertmanager)
incidents() { echo "$1" | sed 's,/incoming/changes/,/incoming/incidents/,'; }
any=$WHATCHANGED_URL/api/webhooks/incoming/changes/wct_dump-of-v0-1-0-token

post "$any" generic.json 'Idempotency-Key: g-1'
post "$any" cloudtrail.json
post "$github" github-push.json 'X-GitHub-Event: push' 'X-GitHub-Delivery: 72d3162e-0001' "X-Hub-Signature-256: sha256=$(sign github-secret github-push.json)"
post "$github" github-push.json 'X-GitHub-Event: push' 'X-GitHub-Delivery: 72d3162e-0001' "X-Hub-Signature-256: sha256=$(sign github-secret github-push.json)"
post "$github" github-ping.json 'X-GitHub-Event: ping' 'X-GitHub-Delivery: 72d3162e-0002' "X-Hub-Signature-256: sha256=$(sign github-secret github-ping.json)"
post "$github" github-broken.json 'X-GitHub-Event: push' 'X-GitHub-Delivery: 72d3162e-0003' "X-Hub-Signature-256: sha256=$(sign github-secret github-broken.json)"
post "$gitlab" gitlab-merge.json 'X-Gitlab-Event: Merge Request Hook' 'Idempotency-Key: 13792a34-0001' 'X-Gitlab-Token: gitlab-secret'
post "$(incidents "$pagerduty")" pagerduty-triggered.json "X-PagerDuty-Signature: v1=$(sign pagerduty-secret pagerduty-triggered.json)"
curl -fsS -o answer -H "Authorization: Bearer $WHATCHANGED_KEY" -H 'Content-Type: application/json' --data-binary "@$here/deploy.json" "$WHATCHANGED_URL/api/v1/changes?wait=10s"
until_n 1 incidents list
post "$(incidents "$pagerduty")" pagerduty-resolved.json "X-PagerDuty-Signature: v1=$(sign pagerduty-secret pagerduty-resolved.json)"
post "$(incidents "$alerts")" alerts.json
until_n 11 deliveries
until_n 1 dead list
w keys create reader --scope changes:read --user Robot --email robot@acme.example >reader.key
w replay --from 1h >replay.log 2>&1

# What a user has: the URLs and the key that were shown once.
jq -n --arg github "$github" --arg gitlab "$gitlab" --arg pagerduty "$pagerduty" --arg alerts "$alerts" --arg reader "$(cat reader.key)" \
	'{github: $github, gitlab: $gitlab, pagerduty: $pagerduty, alerts: $alerts, reader: $reader} | map_values(ltrimstr("'"$WHATCHANGED_URL"'"))' >data/shown.json
sleep 20 # for the counter, the reconciler and the uses of keys
w doctor || :
kill $server
wait $server
server=
tail -3 server.log

tar -C data --sort=name --mtime=@0 --owner=0 --group=0 --numeric-owner -cf - . | zstd -19 -q -f -o "$out"
