# A side channel that runs one job of the session's driver (prepare, boot, watch, log). It ends when its own standard
# input does, and with the session. Needs lib.sh lock.sh; BASE TOKEN JOB ARG.
# shellcheck shell=sh disable=SC2153,SC2154

set -u
exec 3>&1 1>&2 5<&0 </dev/null
trap : HUP INT TERM PIPE
cd "$BASE" || exit 10
T=.shipit/t.$TOKEN
if [ ! -d "$T/groups" ] || ! lock_mine || ! list_group; then
  say "why the session on this host is over"
  exit 10
fi
( trap : TERM; exec 3>&-; cat <&5 >/dev/null; kill -TERM "-$GROUP"; sleep 3; kill -KILL "-$GROUP" ) 2>/dev/null &
WATCH=$!
exec 5<&-
{ sh "$T/driver.sh" "$JOB" "$ARG" 3>&-; echo "done $?"; } | while IFS= read -r line; do say "$line"; done
kill "$WATCH" 2>/dev/null
