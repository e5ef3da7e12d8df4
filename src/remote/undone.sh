# What hooks did and nobody took back: kept in the release's record, so that `status` and the next run can say it.
# Each undo line stands in T/hooks/N from before its hook begins until it was run or the release is committed.
# Defines functions; needs lib.sh; T.
# shellcheck shell=sh disable=SC2154

record_line() { sed -n "s/^\"$2\":\"\(.*\)\"[,}]\$/\1/p" ".shipit/records/$1.json" 2>/dev/null; }

# $1: the directory of a session that is over and about to be removed.
keep_undone() {
  link_name "$1/new"
  undone_id=$LINK undone=''
  for undone_note in "$1"/hooks/*; do
    case ${undone_note##*/} in *[!0-9]*) continue ;; esac
    undone="$undone${undone:+, }$(cat "$undone_note")"
  done
  [ -n "$undone" ] && is_release "$undone_id" || return 0
  set_state "$undone_id" "$(record_line "$undone_id" state)" "not undone: $undone. $(record_line "$undone_id" why)"
  printf '{"at":"%s","release":"%s","not_undone":"%s"}\n' "$(date -u +%Y-%m-%dT%H:%M:%SZ)" "$undone_id" "$(plain "$undone")" >>.shipit/history.jsonl
}

# All of it was undone after all: the rest of the reason stays.
forget_undone() {
  undone=$(record_line "$1" why)
  case $undone in
    'not undone: '*) set_state "$1" "$(record_line "$1" state)" "${undone#not undone: *\`. }" ;;
  esac
}
