# What is here, for `status`, `releases` and dry runs: facts, records, the lock, a leftover, what runs. Writes nothing.
# Needs lib.sh lock.sh home.sh facts.sh and a service's functions; BASE TOKEN SHARED_FILES NAMES.
# shellcheck shell=sh disable=SC2154

set -u
exec 3>&1 1>&2 8>&1 </dev/null
trap : HUP INT TERM PIPE
if ! cd "$BASE" 2>/dev/null; then
  # Not there yet: the nearest directory that is tells whether it could be made, and the space.
  up=$BASE
  while [ ! -d "$up" ]; do up=$(dirname "$up"); done
  cd "$up" || exit 10
  [ -w . ] || refuse "$BASE can't be made: $up is not writable for $(id -un)" "as root on the host: install -d -o $(id -un) $(quoted "$BASE")"
  facts
  fact home absent
  facts_missing
  say facts
  exit 0
fi
if [ ! -w . ]; then refuse "$BASE is not writable for $(id -un)" "as root on the host: chown -R $(id -un) $(quoted "$BASE")"; fi
home_current || :
facts
facts_current
facts_releases
facts_missing
facts_leftover
lock_top
if [ "$top" -gt 0 ]; then
  text=$(readlink ".shipit/lock.$top")
  if [ "$text" != free ] && lock_read "$text"; then
    if proc_is "$L_PID" "$L_START"; then alive=alive; else alive=dead; fi
    say "lock $alive $L_WHO $L_SINCE"
  fi
fi
service_look | while IFS= read -r line; do say "$line"; done
say facts
