#!/bin/sh
# SPDX-License-Identifier: Apache-2.0

# Again where the name is not known for a moment, as when containers come and go.
trap 'exit 0' TERM INT
until timeout 2 wget -q -O - http://web:7000/mcp/status; do
	sleep 1
done
while :; do
	sleep 3600 &
	wait $!
done
