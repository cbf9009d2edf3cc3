#!/bin/sh
# Installs the pinned libchdb (see package.json and its lock file) into the
# user's cache, where pkg/chdb looks for it. Safe to run again and from several
# shells at once: the library appears by one rename, whole or not at all.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
version=$(sed -n 's/.*"@chdb\/lib-linux-x64-gnu": "\([^"]*\)".*/\1/p' "$here/package.json")
root="${XDG_CACHE_HOME:-$HOME/.cache}/whatchanged/libchdb"
target="$root/$version/libchdb.so"

if [ -z "$version" ]; then
	echo "install.sh: no version of libchdb in $here/package.json" >&2
	exit 1
fi
if [ -f "$target" ]; then
	echo "libchdb $version is installed ($target)"
	exit 0
fi
if ! command -v npm >/dev/null 2>&1; then
	echo "install.sh: npm is needed to fetch libchdb: install Node.js (https://nodejs.org, or your system's nodejs and npm packages) and run 'make lib' again" >&2
	exit 1
fi

mkdir -p "$root/$version"
# What a killed run left behind is large.
find "$root" -maxdepth 1 -name '.install.*' -mmin +120 -exec rm -rf {} +
tmp=$(mktemp -d "$root/.install.XXXXXX")
trap 'rm -rf "$tmp"' EXIT
trap 'exit 1' HUP INT TERM

# npm checks what it fetched against the lock file's hashes. It has a cache of
# its own for tarballs: kept inside tmp, no second copy outlives this script.
cp "$here/package.json" "$here/package-lock.json" "$tmp/"
echo "fetching libchdb $version (about 130 MB to fetch, 560 MB on disk)"
(cd "$tmp" && npm ci --ignore-scripts --no-audit --no-fund --loglevel=error --cache "$tmp/npm-cache")

# npm leaves out, without an error, packages made for other platforms.
found=
for f in "$tmp"/node_modules/@chdb/lib-*/libchdb.so "$tmp"/node_modules/@chdb/lib-*/libchdb.dylib; do
	if [ -s "$f" ]; then
		found=$f
	fi
done
if [ -z "$found" ]; then
	echo "install.sh: there is no libchdb for $(uname -sm): it exists for Linux with glibc and macOS, on x86-64 and arm64. Build with -tags nochdb and use a ClickHouse server" >&2
	exit 1
fi
package=$(basename "$(dirname "$found")")
if ! sed -n "/\"node_modules\/@chdb\/$package\"/,/}/p" "$here/package-lock.json" | grep -q '"integrity"'; then
	echo "install.sh: note: the lock file has no hash for @chdb/$package, npm checked its version only" >&2
fi
mv -f "$found" "$target"
echo "installed libchdb $version ($target)"
