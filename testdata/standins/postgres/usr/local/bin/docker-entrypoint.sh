#!/bin/sh
# SPDX-License-Identifier: Apache-2.0

# The server wants a password, everything else runs as it is.
if [ "$1" = postgres ]; then
	if [ -z "$POSTGRES_PASSWORD" ]; then
		echo 'Error: Database is uninitialized and superuser password is not specified.' >&2
		exit 1
	fi
	echo 'database system is ready to accept connections'
	exec busybox httpd -f -p 5432 -h /srv
fi
exec "$@"
