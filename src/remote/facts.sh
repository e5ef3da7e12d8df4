# What the host is and what lies on it, as `@fact KEY VALUE`, `@record JSON`, `@dir NAME`, `@missing PATH`. Only reads.
# Defines functions; needs lib.sh, home.sh, lock.sh; run inside the home. SHARED_FILES: one path below shared/ a line.
# shellcheck shell=sh disable=SC2154

fact() {
  to_plain "$2"
  say "fact $1 $PLAIN"
}

# The C library that programs here are linked with, and its version: `glibc 2.36`, `musl 1.2.4`; empty: not known.
libc() {
  getconf GNU_LIBC_VERSION 2>/dev/null && return 0
  version=$(ldd --version 2>&1 | sed -n '1s/.*\(GLIBC\|GNU libc\).* \([0-9][0-9.]*\)$/glibc \2/p')
  if [ -z "$version" ]; then
    # A host of glibc may have musl beside it, for programs of its own; of which version glibc is, nobody can be asked.
    for loader in /lib*/ld-linux*; do [ ! -e "$loader" ] || return 0; done
    for loader in /lib/ld-musl-*; do
      [ ! -x "$loader" ] || version=$("$loader" 2>&1 | sed -n 's/^Version \(.*\)/musl \1/p')
    done
  fi
  printf '%s\n' "$version"
}

facts() {
  fact user "$(id -un)"
  fact time "$(date -u +%s)"
  fact arch "$(uname -m)"
  fact libc "$(libc)"
  for tool in tar gzip zstd base64 sha256sum setsid timeout find; do
    if command -v "$tool" >/dev/null 2>&1; then fact "$tool" yes; else fact "$tool" no; fi
  done
  facts_space
}

# A release gets its name, and `current` its text, by one rename: that needs one file system.
facts_apart() {
  here=$(pwd -P)
  refuse "${1#"$here/"}/ is a file system of its own, mounted in $here: nothing can be renamed into it" \
    "mount one file system as the whole of it, or name a folder of that one as path in deploy.toml"
}

facts_space() {
  df -Pk . releases .shipit 2>/dev/null | {
    read -r _
    read -r _ _ _ free _ home && fact free_kb "$free"
    # Before the first deploy there are no such folders.
    while read -r _ _ _ _ _ at; do
      [ "$at" = "$home" ] || [ ! -d .shipit ] || facts_apart "$at"
    done
  }
  df -Pi . 2>/dev/null | { read -r _; read -r _ _ _ free _ && fact free_inodes "$free"; }
}

# What is live, by the link's text as home_current read it, and whether it leads anywhere.
facts_current() {
  if [ -n "$LIVE" ]; then
    fact current "${LIVE##*/}"
    [ -d current/. ] || fact dangling yes
  fi
}

# Each directory in releases/, with its record; of those whose files are gone the newest records only.
facts_releases() {
  for d in releases/*; do
    [ -d "$d" ] || continue
    to_plain "${d##*/}"
    say "dir $PLAIN"
    fact_record "${d##*/}"
  done
  recorded | head -n 10 | while IFS= read -r id; do
    [ -d "releases/$id" ] || fact_record "$id"
  done
}

# A record is one JSON object over several lines.
fact_record() {
  [ -f ".shipit/records/$1.json" ] || return 0
  text=
  while IFS= read -r line; do text=$text$line; done <".shipit/records/$1.json"
  say "record $text"
}

facts_missing() {
  printf '%s\n' "$SHARED_FILES" | while IFS= read -r f; do
    [ -z "$f" ] || [ -e "shared/$f" ] || say "missing $f"
  done
}

# A journal that nobody has finished, and who holds the lock.
facts_leftover() {
  for j in pending committed; do
    [ -L ".shipit/$j" ] || continue
    text=$(readlink ".shipit/$j")
    say "leftover $j ${text#* }"
  done
}

# Who works here now, and whether they are seen to.
facts_lock() {
  lock_top
  [ "$top" -gt 0 ] || return 0
  text=$(readlink ".shipit/lock.$top")
  if [ "$text" != free ] && lock_read "$text"; then
    if lock_gone; then alive=dead; else alive=alive; fi
    say "lock $alive $L_WHO $L_SINCE"
  fi
}

# A freeze, or a rollback's pin: who, since when, why.
facts_hold() {
  [ -e .shipit/hold ] || return 0
  # One that somebody made by hand holds as well.
  { read -r who; read -r since; read -r why; } <.shipit/hold
  say "hold $(plain "${who:-unknown}") $(plain "${since:-unknown}") $(plain "${why:-no reason is given}")"
}

# Why the switch that journal $1 tells of can't be put right by this account; 1 where nothing stands in the way.
leftover_stuck() {
  text=$(readlink ".shipit/$1") || return 1
  left=${text%% *} release=${text#* }
  if is_token "$left" && [ -d ".shipit/t.$left" ] && [ ! -x ".shipit/t.$left" ]; then
    echo "an unfinished switch to $release is another account's; run shipit recover as the one that began it"
    return 0
  elif ! is_token "$left" || [ ! -r ".shipit/t.$left/driver.sh" ] || [ ! -s ".shipit/t.$left/driver.sh" ]; then
    echo "an unfinished switch to $release has lost its notes; compare current with shipit releases, then remove $BASE/.shipit/$1"
    return 0
  fi
  now=$(readlink current) was=$(readlink ".shipit/t.$left/old")
  [ "$1" = pending ] && [ "$now" != "$was" ] && [ "${now##*/}" != "$release" ] || return 1
  echo "current was changed by hand to $now during an unfinished switch to $release; if that is meant, remove $BASE/.shipit/$1"
}

# Passes on what a service says of itself, and `ended CODE` after it. What can't be read stops a run: without a baseline
# nothing could be put back.
facts_service() {
  told=''
  unread="what runs on this host now can't be read"
  while read -r kind rest; do
    case $kind in
      why) refuse "$unread: $rest" "pm2 must answer for $(id -un): pm2 ls"; told=yes ;;
      refuse) say "refuse $rest"; told=yes ;;
      ended) [ "$rest" = 0 ] || [ -n "$told" ] || refuse "$unread" "pm2 must answer for $(id -un): pm2 ls" ;;
      *) say "$kind $rest" ;;
    esac
  done
}
