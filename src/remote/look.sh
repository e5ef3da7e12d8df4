# What is here, for `status`, `releases` and dry runs: facts, records, the lock, a leftover, what runs; with KEEP also
# what a cleanup would remove (`@removed`); with READ=drift what of the live release is not as released, with READ=held what a
# new one could be made of. Writes nothing.
# With SURVEY also what only `check` asks.
# Needs lib.sh lock.sh home.sh facts.sh prune.sh or survey.sh, a service's functions, switch.sh or another way, for READ verify.sh and held.sh;
# BASE TOKEN SHARED_FILES PROGRAM NAMES KEEP READ SURVEY.
# shellcheck shell=sh disable=SC2034,SC2154

set -u
exec 3>&1 1>&2 </dev/null
trap : HUP INT TERM PIPE
if ! cd "$BASE" 2>/dev/null; then
  # Not there yet: the nearest directory that is tells whether it could be made, and the space.
  ! home_above || fact writable yes
  cd "$ABOVE" 2>/dev/null || cd / || exit 10
  facts
  fact home absent
  facts_missing
  [ -z "$SURVEY" ] || { survey_host; survey_service; }
  say "done 0"
  exit 0
fi
home_writable || refuse_unwritable
if home_current; then leads=yes; else leads=no; fi
facts
facts_current
facts_releases
facts_missing
facts_leftover
facts_lock
facts_hold
T='' NEW='' OLD=''
if [ -n "$SURVEY" ]; then
  survey_home
  survey_host
  survey_service
else
  { switch_look; } 8>&1 | while IFS= read -r line; do say "$line"; done
fi
if [ -n "$KEEP" ]; then
  DRY_RUN=yes
  { remove_old; } 8>&1 | while read -r _ id; do say "removed $id"; done
fi
if [ -n "$READ" ]; then
  link_name current
  OLD=$LINK
  case $READ in
    drift) held_drift ;;
    held) held 8>&3; say told ;;
  esac
fi
say "done 0"
