#!/bin/sh
# SPDX-License-Identifier: Apache-2.0

# Options, and what is no command, are for node.
case $1 in
-*) set -- node "$@" ;;
*) command -v "$1" >/dev/null || set -- node "$@" ;;
esac
exec "$@"
