#!/bin/sh
# SPDX-License-Identifier: Apache-2.0

# An agent that does no work: it writes down what it was given, and no secret.
set -eu

# show DIR: what is in a folder, with mode, owner and size.
show() {
	[ -n "$(ls -A "$1" 2>/dev/null)" ] || return 0
	echo
	echo "$1:"
	find "$1" -mindepth 1 | sort | while read -r f; do
		size=-
		[ -d "$f" ] || size=$(stat -c %s "$f")
		echo "$(stat -c '%A %U:%G' "$f") $size ${f#"$1"/}"
	done
}

# text FILE: its text, byte for byte.
text() {
	echo
	echo "$1 ($(stat -c %s "$1") bytes):"
	cat "$1"
	if [ -n "$(tail -c 1 "$1")" ]; then
		printf '\n\\ No newline at end of file\n'
	fi
}

echo "I am $(id -un) and do the task $TASK_NAME of $TASK_NAMESPACE."
show "$WORKSPACE_DIR"
show "$HOME"
text "$WORKSPACE_DIR/task.md"
find "$WORKSPACE_DIR" -type f ! -path "$WORKSPACE_DIR/task.md" | sort | while read -r f; do text "$f"; done

echo
echo "variables:"
awk 'BEGIN { for (k in ENVIRON) print k, "(" length(ENVIRON[k]) " characters)" }' |
	sort | grep -Ev '^(HOME|HOSTNAME|OLDPWD|PATH|PWD|SHLVL|TERM|container) '

echo
echo done >"$WORKSPACE_DIR/answer.md"
echo "I can write to $WORKSPACE_DIR."
