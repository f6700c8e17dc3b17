#!/bin/sh
# Cuts GitHub's own description of its API and its webhooks down to what Pawl
# and its stand-in speak. Run it to move to a newer description, then read the
# diff of SOURCES and let the tests say what GitHub changed.
set -eu

openapi=@octokit/openapi@23.0.2
webhooks=@octokit/openapi-webhooks@12.1.0

here=$(cd "$(dirname "$0")" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"

unpack() { # package, folder: two files only, unpacked whole it is 385 MB
	mkdir "$2"
	tar -xzf "$(npm pack --silent "$1")" -C "$2" --strip-components=1 \
		package/LICENSE package/generated/api.github.com.json
}
unpack "$openapi" openapi
unpack "$webhooks" webhooks

cmp openapi/LICENSE webhooks/LICENSE
cp openapi/LICENSE "$here/LICENSE.octokit"

mkdir -p "$here/testdata"
node "$here/cut.mjs" openapi/generated/api.github.com.json "$here/github.json.gz" "$here/testdata/github-examples.json.gz"
node "$here/cut.mjs" webhooks/generated/api.github.com.json "$here/webhooks.json.gz" "$here/testdata/webhooks-examples.json.gz"

{
	echo "# Made by update.sh. Sources, then what was cut from them; sha256."
	echo "$openapi MIT"
	echo "$webhooks MIT"
	sha256sum openapi/generated/api.github.com.json webhooks/generated/api.github.com.json
	cd "$here" && sha256sum github.json.gz webhooks.json.gz testdata/*.json.gz
} >"$here/SOURCES"
