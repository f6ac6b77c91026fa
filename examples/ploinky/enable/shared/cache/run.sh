#!/bin/sh
# SPDX-License-Identifier: Apache-2.0

trap 'exit 0' TERM INT
echo "$AGENT_ALIAS is $AGENT_NAME of $AGENT_REPO, and its work folder holds:" $(ls /workspace)
while :; do
	sleep 3600 &
	wait $!
done
