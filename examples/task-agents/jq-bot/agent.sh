#!/bin/sh
# SPDX-License-Identifier: Apache-2.0

# Answers with what FILTER makes of the body of the request. It never reads stdin:
# the request and the reply go over HTTP.
set -eu
curl -fsS "$CLRK_METADATA_URL/event" >/tmp/body
jq -c "$FILTER" </tmp/body >/tmp/reply
curl -fsS -H 'Content-Type: application/json' --data-binary @- "$CLRK_METADATA_URL/response" </tmp/reply
