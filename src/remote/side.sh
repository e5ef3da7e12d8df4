# A side channel that runs one job of the session's driver (prepare, boot, watch, log). It ends when its own standard
# input does, and with the session. Needs joined.sh; BASE TOKEN JOB ARG.
# shellcheck shell=sh disable=SC2153,SC2154

set -u
exec 3>&1 1>&2 5<&0 </dev/null
trap : HUP INT TERM PIPE
cd "$BASE" || exit 10
T=.shipit/t.$TOKEN
join_session
# The first signal is for itself, too: it has to live for the second, which is for those that don't heed the first.
( exec 3>&-; cat <&5 >/dev/null; trap : TERM; kill -TERM "-$GROUP"; sleep 3; kill -KILL "-$GROUP" ) 2>/dev/null &
WATCH=$!
exec 5<&-
{ sh "$T/driver.sh" "$JOB" "$ARG" 3>&-; echo "done $?"; } | while IFS= read -r line; do say "$line"; done
kill "$WATCH" 2>/dev/null
