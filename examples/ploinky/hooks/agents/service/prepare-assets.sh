#!/bin/sh
# SPDX-License-Identifier: Apache-2.0

# On the host, before anything else: what it leaves goes to /code with the rest.
echo "assets made on the host" >assets.txt
