# Takes a lock away from an owner that can't be proved dead. A journal stays: the next run still puts things right.
# Needs lib.sh lock.sh; BASE TOKEN WHO OWNER (the token's text that the user was shown; empty: only tell).
# shellcheck shell=sh disable=SC2153,SC2154

set -u
exec 3>&1 1>&2 </dev/null
cd "$BASE" 2>/dev/null || { say "done 0"; exit 0; }
lock_top
text=
[ "$top" = 0 ] || text=$(readlink ".shipit/lock.$top")
if [ "$top" = 0 ] || [ "$text" = free ] || ! lock_read "$text"; then
  say "done 0"
elif [ -z "$OWNER" ]; then
  if proc_is "$L_PID" "$L_START"; then alive=alive; else alive=dead; fi
  say "lock $alive $L_WHO $L_SINCE $L_TOKEN"
  say "done 0"
elif [ "$OWNER" != "$L_TOKEN" ]; then
  say "why the lock has another owner by now: $L_WHO since $L_SINCE"
  say "done 1"
elif end_group "$L_GROUP" "$L_START"; ln -s free ".shipit/lock.$((top + 1))" && rm -f ".shipit/lock.$top"; then
  say "done 0"
else
  say "why the lock can't be removed: it belongs to another account"
  say "done 1"
fi
