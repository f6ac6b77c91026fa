#!/bin/sh
# SPDX-License-Identifier: Apache-2.0

# Counts its runs, and writes down what each was given.
set -eu
event=$(cat)
runs=$(($(cat /var/clrk/state/runs 2>/dev/null || echo 0) + 1))
echo "$runs" >/var/clrk/state/runs
echo "event $event" >&2 # for the log alone
echo "run $runs"
