#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# The CLI of an agent that brings none: a few commands that look and change
# nothing. With arguments it runs that one command and returns its status;
# without, it reads commands from standard input, one a line, and returns the
# last one's status.
#
# What is typed is only ever split into words: it is never evaluated, expanded
# or matched against files.

set -f
unset CDPATH

have() {
	command -v "$1" >/dev/null 2>&1
}

usage() {
	printf '%s\n' \
		'commands:' \
		'  whoami             who you are' \
		'  pwd                the folder you are in' \
		'  ls [OPTION|PATH]…  what a folder holds' \
		'  env                the environment' \
		'  date [-u] [+FORMAT]' \
		'  uname [OPTION]…    the system' \
		'  help               this text' \
		'  exit               leave' \
		'Words are split at blanks; nothing is expanded.'
}

# refuse says why on standard error; its status is the one of all refusals.
refuse() {
	printf 'default_cli: %s\n' "$1" >&2
	return 2
}

missing() {
	printf 'default_cli: %s: not in this image\n' "$1" >&2
	return 127
}

do_whoami() {
	[ $# -eq 0 ] || { refuse 'whoami takes no arguments'; return; }
	# Some print a number and fail when the user has no name.
	for name in "$(whoami 2>/dev/null)" "$(id -un 2>/dev/null)" "${USER:-}" "$(id -u 2>/dev/null)"; do
		[ -n "$name" ] && { printf '%s\n' "$name"; return; }
	done
	# The second field of Uid: is the effective one.
	while read -r key real effective rest; do
		[ "$key" = Uid: ] && { printf '%s\n' "$effective"; return; }
	done 2>/dev/null </proc/self/status
	missing whoami
}

do_pwd() {
	case "$#$1" in
	0 | 1-L | 1-P) pwd "$@" ;;
	*) refuse 'pwd takes no arguments but -L or -P' ;;
	esac
}

do_ls() {
	have ls && { ls "$@"; return; }
	[ $# -le 1 ] || { missing ls; return; }
	case "${1:-.}" in -*) missing ls; return ;; esac
	(
		cd -- "${1:-.}" || exit 1
		set +f
		for name in *; do
			[ -e "$name" ] || [ -L "$name" ] || continue
			printf '%s\n' "$name"
		done
	)
}

do_env() {
	# env with arguments starts programs.
	[ $# -eq 0 ] || { refuse 'env takes no arguments'; return; }
	have env && { env; return; }
	export -p
}

do_date() {
	for word; do
		case "$word" in
		-u | -R | -I | +*) ;;
		*) refuse "date: only -u, -R, -I and +FORMAT are allowed"; return ;;
		esac
	done
	have date || { missing date; return; }
	date "$@"
}

do_uname() {
	have uname && { uname "$@"; return; }
	case "$#${1:-}" in
	0 | 1-s) file=ostype ;;
	1-r) file=osrelease ;;
	1-n) file=hostname ;;
	*) missing uname; return ;;
	esac
	read -r line <"/proc/sys/kernel/$file" && printf '%s\n' "$line"
}

run() {
	name=$1
	shift
	case "$name" in
	whoami | pwd | ls | env | date | uname) "do_$name" "$@" </dev/null ;;
	help | --help | -h) usage ;;
	exit) return 0 ;;
	*) refuse "$name: not one of whoami pwd ls env date uname help exit" ;;
	esac
}

if [ $# -gt 0 ]; then
	run "$@"
	exit
fi

prompt() {
	[ -t 0 ] && printf '%s> ' "${AGENT_ALIAS:-${AGENT_NAME:-agent}}" >&2
	return 0
}

[ -t 0 ] && echo 'type help for the commands, exit to leave' >&2
status=0
while prompt && { read -r line || [ -n "$line" ]; }; do
	set -- $line
	[ $# -gt 0 ] || continue
	[ "$1" = exit ] && break
	run "$@"
	status=$?
done
exit $status
