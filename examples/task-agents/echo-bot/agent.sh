#!/bin/sh
# SPDX-License-Identifier: Apache-2.0

# Says its line again and again, until it is told to end.
trap 'echo bye; exit 0' TERM
while :; do
	echo "$LINE"
	sleep "$PAUSE" &
	wait $!
done
