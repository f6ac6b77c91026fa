#!/bin/sh
# SPDX-License-Identifier: Apache-2.0

# Explores TARGET, DEPTH levels deep.
trap 'exit 0' TERM INT
echo "$AGENT_ALIAS explores $TARGET, $DEPTH levels deep"
while :; do
	sleep 3600 &
	wait $!
done
