#!/bin/sh
# Builds the program as it is released: the same tree and the same Go give the
# same bytes, wherever the tree lies and whoever builds. There is one such place:
# the images, the archives of a release and the check of this claim use it.
#
#   sh deploy/build.sh OS ARCH FILE [TAGS]     # VERSION=v1.2.3 in the environment
#
# OS and ARCH are the machine's own where they are empty.
set -eu

os=${1:-$(go env GOHOSTOS)} arch=${2:-$(go env GOHOSTARCH)} file=$3 tags=${4:-}
cd "$(dirname "$0")/.."
# GOFLAGS and the machine's own level of instructions would change the bytes.
CGO_ENABLED=0 GOFLAGS='' GOAMD64=v1 GOARM64=v8.0 GOOS=$os GOARCH=$arch \
	go build -trimpath -buildvcs=false -tags "$tags" \
	-ldflags "-s -w -X whatchanged/pkg/telemetry.version=${VERSION:-dev}" \
	-o "$file" ./services/whatchanged
