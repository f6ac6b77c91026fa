#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# comment.sh github|gitea|gitlab FILE: make FILE, which `reconcile --dry-run -o
# markdown` wrote, the comment of a pull request. A comment that an earlier run
# made is updated: the first line of FILE, which does not show, tells it. Needs
# curl and jq.
#
#	FORGE_API     e.g. https://api.github.com, https://HOST/api/v1 (Gitea and
#	              Forgejo), https://gitlab.com/api/v4
#	FORGE_TOKEN   may comment
#	FORGE_REPO    OWNER/NAME; GitLab: the project's number
#	FORGE_PULL    number of the pull or merge request
#	FORGE_AUTHOR  login that FORGE_TOKEN comments as: comments of others are left
#	              alone, whatever they begin with
set -eu

forge=$1
file=$2

case $forge in
github | gitea)
	list=$FORGE_API/repos/$FORGE_REPO/issues/$FORGE_PULL/comments
	one=$FORGE_API/repos/$FORGE_REPO/issues/comments
	update=PATCH
	header="Authorization: token $FORGE_TOKEN"
	;;
gitlab)
	list=$FORGE_API/projects/$FORGE_REPO/merge_requests/$FORGE_PULL/notes
	one=$list
	update=PUT
	header="PRIVATE-TOKEN: $FORGE_TOKEN"
	;;
*)
	echo "comment.sh: no forge $forge" >&2
	exit 1
	;;
esac
if [ ! -s "$file" ]; then
	echo "comment.sh: $file is empty: the comment stays as it is" >&2
	exit 0
fi

tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT

# The token is in no command line, which others on the machine could read.
call() {
	printf 'header = "%s"\n' "$header" |
		curl --config - --silent --show-error --fail --max-time 60 --retry 2 \
			--header 'Content-Type: application/json' "$@"
}

marker=$(head -n 1 "$file")
case $marker in
'<!-- reconcile:'*) ;;
*)
	echo "comment.sh: $file is no plan in Markdown" >&2
	exit 1
	;;
esac

id=
page=1
while [ -z "$id" ] && [ "$page" -le 50 ]; do
	call "$list?per_page=100&limit=100&page=$page" >"$tmp/list"
	id=$(jq -r --arg marker "$marker" --arg author "$FORGE_AUTHOR" '
		[.[] | select(((.user // .author) | .login // .username) == $author)
		     | select(.body | split("\n")[0] | rtrimstr("\r") == $marker) | .id][0] // empty' "$tmp/list")
	# A forge may have smaller pages than asked for, or one that holds all.
	if [ "$(jq length "$tmp/list")" -eq 0 ] || cmp -s "$tmp/list" "$tmp/last"; then
		break
	fi
	mv "$tmp/list" "$tmp/last"
	page=$((page + 1))
done

jq -Rs '{body: .}' "$file" >"$tmp/body"
if [ -n "$id" ]; then
	call --request "$update" --data "@$tmp/body" "$one/$id" >/dev/null
	echo "comment $id is updated"
else
	call --request POST --data "@$tmp/body" "$list" >/dev/null
	echo "the plan is a new comment"
fi
