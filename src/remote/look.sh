# What is here, for `status`, `releases` and dry runs: facts, records, the lock, a leftover, what runs; with KEEP also
# what a cleanup would remove (`@removed`). Writes nothing.
# Needs lib.sh lock.sh home.sh facts.sh prune.sh and a service's functions; BASE TOKEN SHARED_FILES PROGRAM NAMES KEEP.
# shellcheck shell=sh disable=SC2034,SC2154

set -u
exec 3>&1 1>&2 </dev/null
trap : HUP INT TERM PIPE
if ! cd "$BASE" 2>/dev/null; then
  # Not there yet: the nearest directory that is tells whether it could be made, and the space.
  up=$BASE
  while [ ! -e "$up" ] && [ ! -L "$up" ]; do up=$(dirname "$up"); done
  if ! cd "$up" 2>/dev/null; then
    home_closed "$up"
    cd / || exit 10
  elif [ ! -w . ]; then
    refuse "$BASE can't be made: $up is not writable for $(id -un)" "as root on the host: install -d -o $(id -un) $(quoted "$BASE")"
  fi
  facts
  fact home absent
  facts_missing
  say "done 0"
  exit 0
fi
if [ ! -w . ]; then refuse "$BASE is not writable for $(id -un)" "as root on the host: chown -R $(id -un) $(quoted "$BASE")"; fi
home_current || :
facts
facts_current
facts_releases
facts_missing
facts_leftover
facts_lock
facts_hold
T='' NEW='' OLD=''
{ service_look; } 8>&1 | while IFS= read -r line; do say "$line"; done
if [ -n "$KEEP" ]; then
  DRY_RUN=yes
  { remove_old; } 8>&1 | while read -r _ id; do say "removed $id"; done
fi
say "done 0"
