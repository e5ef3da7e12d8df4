# Makes a release that already lies here the target of the switch (rollback): it must be complete, unchanged and its
# links must lead somewhere. Answers `@bad PATH` for what differs from the manifest; the client decides what matters.
# Into it go the assets of what is live, for the pages that are open. Needs joined.sh reuse.sh assets.sh; BASE TOKEN NEW
# SETTINGS LIMITS WITHDRAW HOLD (why deploys are to be held after it; empty:
# not), LINKS: one path in the release a line.
# shellcheck shell=sh disable=SC2153,SC2154

set -u
exec 3>&1 1>&2 </dev/null
trap : HUP INT TERM PIPE
cd "$BASE" || exit 10
T=.shipit/t.$TOKEN
join_session "$NEW"
here=$(pwd -P)
if [ ! -d "releases/$NEW" ] || [ ! -f ".shipit/manifests/$NEW" ]; then
  say "why releases/$NEW or its manifest is gone"
  say "done 1"
  exit 10
fi
bad=$(verify_tree "$here/releases/$NEW" "$here/.shipit/manifests/$NEW") || bad="bad ."
printf '%s\n' "$bad" | while IFS= read -r line; do [ -z "$line" ] || say "$line"; done
printf '%s\n' "$LINKS" | while IFS= read -r link; do
  [ -z "$link" ] || [ -e "releases/$NEW/$link" ] || say "dangling $link"
done
if [ -n "$ASSETS" ]; then
  assets_bring "$here" || { say "why the assets of what is live can't be kept"; say "done 1"; exit 10; }
  assets_say
fi
if { [ -z "$HOLD" ] || hold_text "$HOLD" >"$T/hold"; } && printf '%s' "$WITHDRAW" >"$T/withdraw" && true >"$T/known" && printf '%s\n' "$SETTINGS" >"$T/service.json" && printf '%s\n' "$LIMITS" >"$T/limits" && ln -s "releases/$NEW" "$T/next/current" && ln -s "releases/$NEW" "$T/new"; then
  say "done 0"
else
  say "done 1"
fi
