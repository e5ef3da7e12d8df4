# Holds deploys: writes .shipit/hold with who, since when and why, or removes it. Needs no lock: a run that has begun
# goes on, and is named (`@lock`); what was held before is told as well (`@hold`).
# Needs lib.sh lock.sh facts.sh; BASE TOKEN WHO WHY (empty: lift it).
# shellcheck shell=sh disable=SC2153,SC2154

set -u
exec 3>&1 1>&2 </dev/null
if ! cd "$BASE" 2>/dev/null || [ ! -d .shipit ]; then
  say "why nothing was ever deployed to $(plain "$BASE"), so there is nothing to hold"
  say "done 1"
  exit 0
fi
facts_hold
facts_lock
if [ -n "$WHY" ]; then
  # In a directory that several accounts share, each may replace or remove it: a rename needs only the directory.
  if hold_text "$WHY" >".shipit/hold.$TOKEN" && sync_one ".shipit/hold.$TOKEN" && mv -f ".shipit/hold.$TOKEN" .shipit/hold; then
    say "done 0"
    exit 0
  fi
  rm -f ".shipit/hold.$TOKEN"
elif rm -f .shipit/hold; then
  say "done 0"
  exit 0
fi
say "why $(plain "$BASE")/.shipit/hold can't be changed: look at its owner and at the free space: ls -la, df -h"
say "done 1"
