#!/bin/sh
# SPDX-License-Identifier: Apache-2.0

# Over TCP: the image's own first steps are reachable by a socket only.
exec pg_isready -q -h 127.0.0.1
