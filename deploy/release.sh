#!/bin/sh
# Makes all files of a release: an archive and a bill of materials for each
# platform, and the checksums of them. Run twice, the files are the same.
#
#   VERSION=v1.2.3 sh deploy/release.sh DIRECTORY [OS/ARCH...]
set -eu

: "${VERSION:?say which version, as VERSION=v1.2.3}"
out=$1
shift
[ $# -gt 0 ] || set -- linux/amd64 linux/arm64 darwin/arm64
mkdir -p "$out"
out=$(cd "$out" && pwd)
cd "$(dirname "$0")/.."
# When the tree was made, so that archives do not say when they were.
epoch=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct)}

tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
trap 'exit 1' HUP INT TERM

sh deploy/build.sh "$(go env GOHOSTOS)" "$(go env GOHOSTARCH)" "$tmp/own"
mkdir -p "$tmp/whatchanged/lib"
go run ./deploy/licences -texts >"$tmp/whatchanged/LICENCES.txt"
cp pkg/chdb/lib/install.sh pkg/chdb/lib/package.json pkg/chdb/lib/package-lock.json "$tmp/whatchanged/lib/"

for platform in "$@"; do
	os=${platform%/*} arch=${platform#*/}
	name=whatchanged_${VERSION}_${os}_$arch
	sh deploy/build.sh "$os" "$arch" "$tmp/whatchanged/whatchanged"
	"$tmp/own" version --sbom "$tmp/whatchanged/whatchanged" >"$out/$name.cdx.json"
	tar --create --sort=name --mtime="@$epoch" --owner=0 --group=0 --numeric-owner --mode=u+rw,go+r,go-w \
		--directory "$tmp" whatchanged | gzip --no-name --best >"$out/$name.tar.gz"
done
cd "$out"
sha256sum whatchanged_"$VERSION"_* >SHA256SUMS
