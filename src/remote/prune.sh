# Which releases may go, and their removal. Defines functions; needs lib.sh, lock.sh; job.sh's history; T KEEP NEW OLD, fd 8 for answers.
# DRY_RUN set: only says what it would remove.
# shellcheck shell=sh disable=SC2153,SC2154

# What processes, PM2's saved list and this session still need: their releases stay. Another user's working directory
# can't be read; a command line that names a release can.
in_use() {
  here=$(pwd -P)
  {
    # busybox's readlink takes one name.
    # shellcheck disable=SC2012 # only what stands behind the arrow is looked for
    ls -ld /proc/[0-9]*/cwd /proc/[0-9]*/exe
    cat /proc/[0-9]*/cmdline | tr '\000' '\n'
    tr '",' '\n' <"${PM2_HOME:-$HOME/.pm2}/dump.pm2"
  } 2>/dev/null | grep -F "$here/releases/" | sed "s|.*/releases/\([A-Za-z0-9_-]*\).*|\1|" | sort -u
  of_others
  for c in current colours/blue colours/green; do link_name "$c"; printf '%s\n' "$LINK"; done
  printf '%s\n' "$OLD"
}

# The releases of other accounts that have something running here: where that stands, nobody but they and root can see.
# shellcheck disable=SC2012,SC2086 # stat has no common form; the numeric owner is the third word
of_others() {
  me=$(id -u)
  [ "$me" != 0 ] || return 0
  living=" $(ls -ldn /proc/[0-9]* 2>/dev/null | while read -r _ _ uid _; do echo "$uid"; done | sort -u | tr '\n' ' ')"
  ls -ldn releases/* 2>/dev/null | while read -r line; do
    set -f -- $line
    [ "$3" != "$me" ] || continue
    # Where /proc is hidden, nothing can be told of anybody.
    if [ ! -r /proc/1/stat ] || among_words "$living" "$3"; then printf '%s\n' "${line##*/}"; fi
  done
}

among_words() { case $1 in *" $2 "*) ;; *) return 1 ;; esac; }

# Whether the lines $1 hold the line $2.
among() { case $NL$1$NL in *"$NL$2$NL"*) ;; *) return 1 ;; esac; }

# The releases that are there, newest first: the good ones, `current` among them, into GOOD, all others into REST.
releases_there() {
  states=$(grep -l '^"state":"good",$' .shipit/records/*.json 2>/dev/null)
  GOOD='' REST=''
  for d in releases/*; do
    id=${d##*/}
    if ! is_release "$id" || [ ! -d "$d" ]; then continue; fi
    if among "$states" ".shipit/records/$id.json"; then GOOD=$GOOD$id$NL; else REST=$REST$id$NL; fi
  done
  GOOD=$(printf '%s' "$GOOD" | newest_first)
  [ -z "$REST" ] || REST=$(printf '%s' "$REST" | newest_first)
}

# Records outlive their releases, but not for ever: all that have a directory, and the newest fifty. A manifest is of
# no use without its release.
forget() {
  recorded | tail -n +51 | while IFS= read -r id; do
    [ -d "releases/$id" ] || rm -f ".shipit/records/$id.json"
  done
  for m in .shipit/manifests/* .shipit/assets/*; do
    id=${m##*/}
    if is_release "$id" && [ ! -d "releases/$id" ]; then rm -f "$m"; fi
  done
}

# Removes what KEEP doesn't cover: first a word in the record, then out of releases/ by one rename, then the files.
remove_old() {
  releases_there
  keep=$(printf '%s\n' "$GOOD" | head -n "$KEEP")
  oldest=${keep##*"$NL"} evidence='' used='' removed=0
  [ -z "$REST" ] || evidence=$(printf '%s\n' "$REST" | head -n "$KEEP")
  for d in releases/*; do
    id=${d##*/}
    if ! is_release "$id" || [ ! -d "$d" ] || [ -L "$d" ] || [ ! -f ".shipit/records/$id.json" ]; then continue; fi
    if among "$keep" "$id"; then continue; fi
    # A release that is not good is the evidence of a failure: it stays while it is newer than the oldest kept one, and
    # among the newest KEEP of its kind: a run of failures must not fill the disk.
    if among "$evidence" "$id" && [ "$(printf '%s\n%s\n' "$id" "$oldest" | newest_first | head -n 1)" = "$id" ]; then continue; fi
    [ -n "$used" ] || used=$(in_use)
    if among "$used" "$id"; then continue; fi
    removed=$((removed + 1))
    printf 'prune %s\n' "$id" >&8
    [ -z "${DRY_RUN-}" ] || continue
    lock_mine || return 1
    set_state "$id" removed "" || return 1
    [ ! -L .shipit/trash ] && mkdir -p .shipit/trash && mv "$d" ".shipit/trash/$id" || return 1
    rm -f ".shipit/manifests/$id" ".shipit/assets/$id"
  done
}

# The files themselves. A deploy doesn't wait for that, unless it is told to, however many they are: what is left when this machine stops goes at
# the next contact.
# shellcheck disable=SC2086 # names without blanks
empty_trash() {
  trashed
  [ -n "$TRASH" ] || return 0
  if [ -z "$NEW" ] || [ -n "${1-}" ]; then rm -rf $TRASH; return; fi
  ( exec setsid rm -rf $TRASH ) </dev/null >/dev/null 2>&1 8>&- &
}

prune() {
  remove_old && empty_trash && forget && history "\"removed\":$removed"
}

# The same, earlier, for a release that finds too little space: what the cleanup after it would remove. It counts as
# one of KEEP by then.
room() {
  rm -rf .shipit/incoming
  [ "$KEEP" -le 1 ] || KEEP=$((KEEP - 1))
  remove_old && empty_trash now && forget
}
