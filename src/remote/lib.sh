# What every host script shares: words to the client, paths, process facts, ending of groups, the swap of `current`.
# Defines functions and sets nothing in motion but the locale. Variables set by the caller: BASE TOKEN.
# Must never be run with a working directory inside a release: a removed directory breaks every tool.
# shellcheck shell=sh disable=SC2034

# Names are bytes. In another locale `.` and `grep` pass over those that are no character, and bash's `read` takes the
# newline after half a character for its other half: what is damaged would be believed. An app gets LANG, never this.
LC_ALL=C
export LC_ALL

# A tab, and a newline.
TAB='	' NL='
'

# One protocol line. A client that is gone must not stop the host from putting things right.
say() { printf '@%s\n' "$*" >&3 2>/dev/null || :; }

# One line, safe to stand in a protocol line and between double quotes in JSON, into PLAIN. What is so already, and that
# is nearly all, costs no process.
to_plain() {
  PLAIN=$1
  case $1 in
    *[!\ -~]* | *[\"\\]*) ;;
    *) [ "${#1}" -gt 400 ] || return 0 ;;
  esac
  PLAIN=$(printf '%s' "$1" | tr '\n\t"\134' '    ' | tr -d '\000-\037\177')
  # The sign of a cut, as the client knows it: half a secret may stand before it.
  [ "${#PLAIN}" -le 400 ] || PLAIN=$(printf '%s' "$PLAIN" | cut -c1-397)$(printf '\342\200\246')
}

# The same, printed.
plain() {
  to_plain "$1"
  printf '%s' "$PLAIN"
}

# A name that shipit made: PREFIX + YYYYMMDD-HHMMSS-xxxx. Nothing else is ever removed.
is_release() {
  case $1 in
    *[!A-Za-z0-9_-]* | -*) return 1 ;;
    *[0-9][0-9][0-9][0-9][0-9][0-9][0-9][0-9]-[0-9][0-9][0-9][0-9][0-9][0-9]-[a-z0-9][a-z0-9][a-z0-9][a-z0-9]) return 0 ;;
  esac
  return 1
}

# Ids, one a line, by their time; the prefix takes no part in the order.
newest_first() { sed 's/.*\([0-9]\{8\}-[0-9]\{6\}-....\)$/\1 &/' | sort -r | sed 's/^[^ ]* //'; }

# The ids that have a record.
recorded() {
  for r in .shipit/records/*.json; do
    id=${r##*/} id=${id%.json}
    if is_release "$id" && [ -f "$r" ]; then printf '%s\n' "$id"; fi
  done | newest_first
}

is_token() {
  case $1 in
    *[!0-9a-f]*) return 1 ;;
    ????????????????) return 0 ;;
  esac
  return 1
}

# The name after the last slash of a link's text, into LINK; empty where there is no link.
link_name() {
  LINK=$(readlink "$1" 2>/dev/null) || LINK=
  LINK=${LINK##*/}
}

# State, group and start time (fields 3, 5 and 22 of stat) of a process. The name before them may hold anything,
# so all is counted from the last parenthesis.
# shellcheck disable=SC2086
proc_stat() {
  { IFS= read -r P <"/proc/$1/stat"; } 2>/dev/null || return 1
  set -- "$1" ${P##*) }
  # Too few fields: there is a newline in the name.
  if [ $# -lt 22 ]; then
    P=$(cat "/proc/$1/stat" 2>/dev/null) || return 1
    set -- "$1" ${P##*) }
  fi
  [ $# -gt 20 ] || return 1
  P_STATE=$2 P_GROUP=$4
  shift 20
  P_START=$1
}

# Whether a process is running with this start time. A zombie is not running.
proc_is() { proc_stat "$1" && [ "$P_START" = "$2" ] && [ "$P_STATE" != Z ] && [ "$P_STATE" != X ]; }

group_empty() {
  ! cat /proc/[0-9]*/stat 2>/dev/null | sed 's/.*) //' | grep -q "^[^ZX] [0-9]* $1 "
}

# Ends a process group and waits until it is empty; 1 where it can't be ended. $2 is its leader's start time: a
# leader with another one means that the number was given out again, to strangers.
end_group() {
  if proc_stat "$1" && [ "$P_START" != "$2" ]; then return 0; fi
  group_empty "$1" && return 0
  kill -TERM "-$1" 2>/dev/null
  for i in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22 23 24 25 26 27 28 29 30; do
    group_empty "$1" && return 0
    [ "$i" != 20 ] || kill -KILL "-$1" 2>/dev/null
    sleep 0.1 2>/dev/null || sleep 1
  done
  group_empty "$1"
}

# Ends every group that is listed (GROUP.START) in a session's directory; 1 where one of them can't be ended. The numbers
# are those of the session's own boot and namespace of process ids; in others they are strangers'.
end_groups() {
  if [ -e "$1/boot" ] && ! { read -r of_boot <"$1/boot" && [ "$of_boot" = "$BOOT:$NS" ]; }; then return 0; fi
  all=0 gone='' living=" $(cat /proc/[0-9]*/stat 2>/dev/null | sed -n 's/.*) [^ZX] [0-9]* \([0-9]*\) .*/\1/p' | tr '\n' ' ')"
  for g in "$1"/groups/*.*; do
    n=${g##*/}
    case $n in *[!0-9.]*) continue ;; esac
    case $living in
      *" ${n%.*} "*) if end_group "${n%.*}" "${n#*.}"; then rm -f "$g"; else all=1; fi ;;
      *) gone="$gone $g" ;;
    esac
  done
  # shellcheck disable=SC2086 # names without blanks
  [ -z "$gone" ] || rm -f $gone
  return $all
}

# Lists this process's group, so that the session can end it. The leader's start time tells it from a later namesake.
# Who asks for the lock asks after listing: then whoever takes it over either sees the listing, or is seen.
list_group() {
  proc_stat $$ || return 1
  GROUP=$P_GROUP
  proc_stat "$GROUP" || P_START=0
  # All in the name: an empty file needs no block on a full disk.
  true >"$T/groups/$GROUP.$P_START"
}

# What arrived of an upload that is not whole, in the session's directory $1, becomes a source of content for later ones.
# Several that were cut one after the other add up, as a link that is cut again and again needs; what many different builds
# left is given up, here and where space is short.
keep_incoming() {
  [ -d "$1/stage/tree" ] || return 0
  set -- "$1" .shipit/incoming/*
  if [ $# -gt 40 ]; then mv .shipit/incoming "$1/old" || return 1; fi
  { [ -d .shipit/incoming ] || mkdir -m 700 .shipit/incoming; } && mv "$1/stage/tree" ".shipit/incoming/${1##*/t.}"
}

# What lies in the trash by a name that shipit gave, into TRASH: words without blanks. Nothing where it is no directory of
# its own: what a link leads to was never thrown away.
trashed() {
  TRASH=''
  [ ! -L .shipit/trash ] || return 0
  for d in .shipit/trash/*; do
    ! is_release "${d##*/}" || TRASH="$TRASH $d"
  done
}

# Removes a session's directory. A side channel that comes too late may list itself in the middle of that.
clear_notes() {
  for i in 1 2 3 4 5; do
    rm -rf "$1" 2>/dev/null && return 0
    sleep 0.1 2>/dev/null || sleep 1
  done
  return 1
}

# Waits until the disk has all that was written, or what is in one file or directory. The order in which a power cut finds
# things there is the order of these, and nothing else: no name is given to a file whose content is not there, and nothing
# follows a name (the journal, `current`) before that is there. At most 30 s: a hanging disk must not hang a deploy. Old
# hosts have no `sync -f`.
sync_all() { timeout 30 sync -f "$1" 2>/dev/null || timeout 30 sync 2>/dev/null || :; }
sync_one() { timeout 30 sync "$1" 2>/dev/null || timeout 30 sync 2>/dev/null || :; }

# `current` names the new release from one system call to the next: mv onto a directory's entry is one rename(2)
# with GNU, busybox and toybox. `ln -sfn` is two calls with busybox; `mv -T` is missing elsewhere.
swap_forward() {
  mv -f "$T/next/current" . && [ "$(readlink current)" = "releases/$NEW" ]
}

# Puts back what `current` said before. Needs no disk space: the link was made before the switch. Idempotent.
swap_back() {
  if [ -L "$T/old" ]; then
    old_text=$(readlink "$T/old")
    [ "$(readlink current 2>/dev/null)" != "$old_text" ] || return 0
    [ -L "$T/back/current" ] || ln -s "$old_text" "$T/back/current" || return 1
    mv -f "$T/back/current" . && [ "$(readlink current)" = "$old_text" ]
  else
    # First deploy: nothing was live. Only our own link is taken away.
    link_name current
    [ "$LINK" != "$NEW" ] || rm -f current
  fi
}

# Whether the journal is this session's own: only then has it switched anything, and may put it back.
ours() {
  journal=$(readlink .shipit/pending 2>/dev/null) && [ "${journal%% *}" = "$TOKEN" ]
}

# The record $1 with another state $2 and why $3; with what was live before it, $4; or changed by sed's $5 besides. Its last
# three lines are the host's; the rest is the client's.
with_state() {
  to_plain "$3"
  if [ -n "${4-}" ]; then sed '/^"previous":/,$d' "$1" && printf '"previous":"%s",\n' "$4"; else sed -e "${5-}" -e '/^"state":/,$d' "$1"; fi &&
    printf '"state":"%s",\n"why":"%s"}\n' "$2" "$PLAIN"
}

# The state of a release and why, in its record; $4: what was live before it.
set_state() {
  r=.shipit/records/$1.json
  [ -f "$r" ] || return 0
  with_state "$r" "$2" "$3" "${4-}" >"$T/record.$$" &&
    sync_one "$T/record.$$" && mv -f "$T/record.$$" "$r"
}

# What became of the release $1 of this run: for its record, and for the history when the run is over. A rollback's
# target was good before: a bad day takes nothing from its record.
verdict() {
  printf '%s\n%s\n' "$2" "$(plain "$3")" >"$T/verdict"
  [ -e "$T/known" ] || set_state "$1" "$2" "$3"
}

# The text of a hold: who, since when, why.
hold_text() { printf '%s\n%s\n%s\n' "$WHO" "$(date -u +%Y%m%dT%H%M%SZ)" "$(plain "$1")"; }
