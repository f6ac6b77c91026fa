#!/bin/sh
# SPDX-License-Identifier: Apache-2.0

exec wget -q -O /dev/null http://127.0.0.1:7000/mcp/status
