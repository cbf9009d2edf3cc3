#!/bin/sh
# Something broke: what changed?
# The server and the key are in the environment: URL and KEY.
set -eu

curl -sS --fail-with-body "$URL/api/v1/events?resource_id=api-gateway&limit=20" \
  -H "Authorization: Bearer $KEY"
