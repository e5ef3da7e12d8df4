# Writes down what became of a release: its state and why, in its record. Run on a side channel under the session's lock.
# Needs lib.sh lock.sh; BASE TOKEN RELEASE STATE WHY.
# shellcheck shell=sh disable=SC2153,SC2154

set -u
exec 3>&1 1>&2 </dev/null
cd "$BASE" || exit 10
T=.shipit/t.$TOKEN
if [ -d "$T" ] && lock_mine && is_release "$RELEASE" && verdict "$RELEASE" "$STATE" "$WHY"; then
  say "done 0"
else
  say "done 1"
fi
