#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# install.sh DIR: download reconcile, one static file, from RECONCILE_URL to DIR,
# and take it only if its SHA-256 is RECONCILE_SHA256.
set -eu

mkdir -p "$1"
curl --silent --show-error --fail --location --max-time 300 --retry 2 --output "$1/reconcile.new" "$RECONCILE_URL"
if ! echo "$RECONCILE_SHA256  $1/reconcile.new" | sha256sum -c - >/dev/null; then
	rm -f "$1/reconcile.new"
	echo "install.sh: what $RECONCILE_URL has is not what is expected" >&2
	exit 1
fi
chmod 0755 "$1/reconcile.new"
mv "$1/reconcile.new" "$1/reconcile"
