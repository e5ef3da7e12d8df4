# Takes a release in: unpacks the payload on standard input into an empty stage, holds every file against the
# manifest, links what is shared, makes it durable, and only then gives it its name below releases/.
# Nothing is overwritten or deleted outside the stage and incoming/. Needs joined.sh reuse.sh assets.sh;
# BASE TOKEN NEW CODEC MANIFEST_SHA SETTINGS LIMITS NODE TRANSFER EARLIER GROUP_NAME FROM SERVICE (empty: nothing runs), ASSETS (empty: none
# are kept, and assets.sh is not there), SHARED_DIRS and
# SHARED_FILES:
# lines LINK<TAB>TEXT<TAB>PATH (the link in the release, its text, the path below shared/).
# Ends with 2 where what lies here does not serve: then all is to be sent; with 3 where all is well but for what the
# release says of its own service.
# shellcheck shell=sh disable=SC2153,SC2154

set -u
exec 3>&1 1>&2
trap : HUP INT TERM PIPE
cd "$BASE" || exit 10
T=.shipit/t.$TOKEN
STAGE=$T/stage
unset TAR_OPTIONS GZIP ZSTD_CLEVEL

# $2: the code, 1 where there is none.
fail() {
  say "why $(plain "$1")"
  rm -rf "$STAGE"
  say "done ${2-1}"
  exit 10
}

# Why, of all that tools said, into `error`: that the disk is full, where one says so; else the last word, tar's farewell
# apart.
reason() {
  error=''
  [ -n "$1" ] || return 0
  error=$(printf '%s\n' "$1" | grep -i -e 'no space' -e quota || printf '%s\n' "$1" | grep -v 'xiting with failure')
  error=$(printf '%s\n' "$error" | tail -n 1)
}

# A full disk is no fault of the upload or of what lies here, and what did arrive would only be in the way.
full() {
  case $error in *[Nn]o\ space* | *[Qq]uota*) ;; *) return 0 ;; esac
  fail "the disk is full: $error; make room with shipit cleanup, or see what fills it: df -h, df -i"
}

# The upload is not whole. What did arrive is a source for the next one.
broken() {
  full
  keep_incoming "$T"
  fail "$1${error:+: $error}"
}

# The upload is whole, but what was to be made of it and of what lies here is not.
unfit() {
  full
  fail "what lies on the host does not serve: $1" 2
}

join_session "$NEW"
home_modes
[ ! -e "$STAGE" ] || rm -rf "$STAGE"
mkdir "$STAGE" || fail "the stage can't be made"

unpack() {
  case $CODEC in
    zstd) zstd -dcq --long=24 ;;
    *) gzip -dc ;;
  esac | tar -C "$STAGE" -xof -
}
# What the tools say is the reason when the manifest is not met; the manifest alone decides.
reason "$(unpack 2>&1)"

# The archive's last member.
[ -f "$STAGE/whole" ] || broken "the upload was cut"
part=
if [ -f "$STAGE/delta" ]; then
  part=yes
  if ! made=$(reuse 2>&1); then
    reason "$made"
    unfit "${error:-its manifest is another one}"
  fi
else
  is_manifest || broken "the manifest arrived damaged"
fi
# The disk begins with what is complete while it is being read; the sync that counts follows.
( exec 3>&-; sync_all "$STAGE" ) &
here=$(pwd -P)
bad=$(verify_tree "$here/$STAGE/tree" "$here/$STAGE/manifest") || bad="bad ."
if [ -n "$bad" ]; then
  bad=$(printf '%s\n' "$bad" | sed -n '1,5s/^bad //p') || bad="it can't be checked"
  [ -z "$part" ] || unfit "$bad"
  broken "not as sent: $bad"
fi
nothing_more "$STAGE/tree" "$STAGE/manifest" || fail "the stage holds entries that were not sent"

ASSETS_TOLD=
if [ -n "$ASSETS" ]; then
  made=$(assets_keep "$here/$STAGE/tree" "$here/$STAGE/manifest" "$here/$STAGE/assets" 2>&1)
  kept=$?
  reason "$made"
  full
  { [ "$kept" = 0 ] && assets_named "$STAGE/manifest" "$STAGE/assets"; } || fail "the assets of earlier releases can't be kept${error:+: $error}; assets.keep = 0 does without them"
  assets_say
fi

# A shared directory is seeded from the release once, aside and by one rename; then the link takes its place.
# What fails says its path last.
cannot=$(printf '%s\n' "$SHARED_DIRS" | while IFS=$TAB read -r link text path; do
  [ -n "$link" ] || continue
  if [ ! -d "shared/$path" ]; then
    rm -rf "$T/seed"
    if [ -d "$STAGE/tree/$link" ] && [ ! -L "$STAGE/tree/$link" ]; then cp -a "$STAGE/tree/$link" "$T/seed" && sync_all "$T/seed"; else mkdir "$T/seed"; fi &&
      mkdir -p "$(dirname "shared/$path")" && mv "$T/seed" "shared/$path" || { printf '\n%s\n' "$path"; exit 1; }
  fi
  rm -rf "$STAGE/tree/${link:?}" && mkdir -p "$(dirname "$STAGE/tree/$link")" && ln -s "$text" "$STAGE/tree/$link" || { printf '\n%s\n' "$path"; exit 1; }
done 2>&1) || {
  reason "${cannot%"$NL"*}"
  full
  case $error in *[Pp]ermission*) cure="; as root on the host: chown $(id -un) $(quoted "$(pwd -P)/shared")" ;; *) cure='' ;; esac
  fail "shared/${cannot##*"$NL"} can't be made: ${error##*: }$cure"
}
printf '%s\n' "$SHARED_FILES" | while IFS=$TAB read -r link text path; do
  [ -n "$link" ] || continue
  [ -e "shared/$path" ] || exit 1
  rm -f "$STAGE/tree/${link:?}" && mkdir -p "$(dirname "$STAGE/tree/$link")" && ln -s "$text" "$STAGE/tree/$link" || exit 1
done || fail "a shared file can't be linked"

if [ -n "$GROUP_NAME" ]; then chgrp -R "$GROUP_NAME" "$STAGE/tree" || fail "the group $GROUP_NAME can't be given"; fi
# In a home that two accounts share, either may clean up what the other shipped.
if [ "$(umask)" = 0002 ]; then
  { find "$STAGE/tree" -type d -exec chmod g+w {} + && sed 's/^d \(..\)5/d \17/' "$STAGE/manifest" >"$STAGE/shared" &&
    mv "$STAGE/shared" "$STAGE/manifest"; } || fail "directories can't be made writable for the group"
fi

# What is known only now goes to the end of the record's first line: what was sent, and which node is to run it.
known="${TRANSFER%?},\"wire\":$((EARLIER + $(cat "$STAGE/whole")))$ASSETS_TOLD}"
[ -z "$NODE" ] || known="$known,\"node\":\"$(printf '%s' "$NODE" | tr -cd 'A-Za-z0-9.-')\""
{ with_state "$STAGE/record.json" unproven "never activated" "" "1s/,\$/,$known,/" >"$STAGE/record" && mv "$STAGE/record" "$STAGE/record.json"; } ||
  fail "the record can't be written"

sync_all "$STAGE"
if ! lock_mine || [ -e "$T/stop" ]; then fail "the lock was lost"; fi
# Later than every file's ctime: what is touched from now on can be told.
{ { [ ! -f "$STAGE/assets" ] || mv "$STAGE/assets" ".shipit/assets/$NEW"; } && touch "$STAGE/manifest" && mv "$STAGE/manifest" ".shipit/manifests/$NEW" && mv "$STAGE/record.json" ".shipit/records/$NEW.json" &&
  mv "$STAGE/tree" "releases/$NEW"; } || fail "the release can't be named"
rm -rf "$STAGE"
{ printf '%s\n' "$SETTINGS" >"$T/service.json" && printf '%s\n' "$LIMITS" >"$T/limits" && ln -s "releases/$NEW" "$T/next/current" && ln -s "releases/$NEW" "$T/new"; } ||
  fail "the switch can't be prepared"
if [ -n "$SERVICE" ]; then
  code=$({ timeout 60 sh "$T/driver.sh" prepare </dev/null 3>&-; echo "$?"; } | {
    while IFS= read -r line; do
      case $line in
        *[!0-9]*) say "$line" ;;
        *) echo "$line" ;;
      esac
    done
  })
  [ "$code" != 124 ] || say "why what the release says of its service was not read within 60 s"
  [ "$code" = 0 ] || { say "done 3"; exit 10; }
fi
say "done 0"
