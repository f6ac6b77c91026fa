#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# plan.sh BASE [WORKSPACE]: write what a change does, compared with the commit
# BASE, to plan.md, print it as annotations where the forge shows them
# (PLAN_ANNOTATIONS=github), and exit with 0 when the change may be merged:
# 1 = error, 3 = refused. Neither Podman nor a daemon is needed.
set -eu

base=$1
workspace=${2:-.}

plan() {
	reconcile --dry-run --exit-zero-on-changes --against "$base" "$@" "$workspace"
}

code=0
plan -o markdown >plan.md || code=$?
if [ "${PLAN_ANNOTATIONS:-}" = github ]; then
	plan -o github 2>/dev/null || true # the exit code is known
fi
if [ ! -s plan.md ]; then
	echo "there is no plan; what stands in its way is above" >&2
fi
exit "$code"
