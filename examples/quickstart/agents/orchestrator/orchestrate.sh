#!/bin/sh
# SPDX-License-Identifier: Apache-2.0

# Says hello, then goes round until it is told to stop.
trap 'echo "bye"; exit 0' TERM INT
echo "$AGENT_NAME: $GREETING"
while :; do
	echo "$(date -u +%H:%M:%S) one more round" >>"$WORKSPACE_PATH/rounds.log"
	sleep "$PAUSE" &
	wait $!
done
