# The lock: the highest-numbered symlink .shipit/lock.N, whose text is its owner, or `free`. Nothing is renamed or
# overwritten: a contender adds the next number, looks again, and steps back if it is not the highest.
# Text: PID:START:GROUP:BOOT:PIDNS:TOKEN:SINCE:WHO. Defines functions; needs lib.sh, BASE TOKEN WHO.
# shellcheck shell=sh disable=SC2034,SC2153,SC2154

# This boot, and this namespace of process ids, into BOOT and NS.
lock_here() {
  { read -r BOOT </proc/sys/kernel/random/boot_id; } 2>/dev/null || BOOT=none
  NS=$(readlink /proc/self/ns/pid 2>/dev/null) || NS=
  NS=${NS#*[} NS=${NS%]}
}

lock_top() {
  top=0
  for e in .shipit/lock.*; do
    n=${e##*.}
    case $n in '' | *[!0-9]*) continue ;; esac
    [ "$n" -le "$top" ] || top=$n
  done
}

# Splits an owner's text into L_PID L_START L_GROUP L_BOOT L_NS L_TOKEN L_SINCE L_WHO.
lock_read() {
  IFS=: read -r L_PID L_START L_GROUP L_BOOT L_NS L_TOKEN L_SINCE L_WHO <<X
$1
X
  case ${L_PID:-x}${L_GROUP:-x} in *[!0-9]*) return 1 ;; esac
}

# Whether the owner that was read is gone for good, as far as looking tells. "May not look" counts as alive: another
# machine's pid namespace, hidden /proc, or notes of another account. A live process is told by its start time, never by
# kill -0 (no for another user's process, yes for a zombie).
lock_gone() {
  lock_here
  [ "$L_BOOT" = "$BOOT" ] || return 0
  [ "$L_NS" = "$NS" ] || return 1
  [ -r /proc/1/stat ] || [ "$(lock_owner_uid)" = "$(id -u)" ] || return 1
  ! proc_is "$L_PID" "$L_START" || return 1
  ! is_token "$L_TOKEN" || [ ! -d ".shipit/t.$L_TOKEN" ] || [ -x ".shipit/t.$L_TOKEN" ]
}

# The same, and what it left running is ended.
lock_dead() {
  lock_read "$1" && lock_gone || return 1
  [ "$L_BOOT" = "$BOOT" ] || return 0
  # Its leader is gone, but what it started may still run: that is ended before anything else is begun. What another
  # account started can't be looked at.
  if is_token "$L_TOKEN" && [ -d ".shipit/t.$L_TOKEN" ]; then
    [ -x ".shipit/t.$L_TOKEN" ] && end_groups ".shipit/t.$L_TOKEN" || return 1
  fi
  group_empty "$L_GROUP" || { [ "$L_GROUP" = "$L_PID" ] && end_group "$L_GROUP" "$L_START"; }
}

# shellcheck disable=SC2012 # stat has no common form; the numeric owner is the third word
lock_owner_uid() { ls -ldn ".shipit/lock.$top" 2>/dev/null | { read -r _ _ uid _; echo "$uid"; }; }

# Takes the lock; 1 with L_WHO and L_SINCE set where somebody has it, 2 where it can't be written.
lock_take() {
  proc_stat $$ || return 2
  lock_here
  me="$$:$P_START:$P_GROUP:$BOOT:$NS:$TOKEN:$(date -u +%Y%m%dT%H%M%SZ):$WHO"
  tries=0
  while [ "$tries" -lt 200 ]; do
    tries=$((tries + 1))
    lock_top
    if [ "$top" -gt 0 ]; then
      text=$(readlink ".shipit/lock.$top") || continue
      [ "$text" = free ] || lock_dead "$text" || return 1
    fi
    mine=$((top + 1))
    if ! ln -s "$me" ".shipit/lock.$mine" 2>/dev/null; then
      [ -L ".shipit/lock.$mine" ] || [ "$tries" -lt 3 ] || return 2
      continue
    fi
    lock_top
    if [ "$top" -ne "$mine" ]; then
      rm -f ".shipit/lock.$mine"
      continue
    fi
    for e in .shipit/lock.*; do
      n=${e##*.}
      case $n in '' | *[!0-9]*) continue ;; esac
      [ "$n" -ge "$mine" ] || rm -f "$e"
    done
    return 0
  done
  return 2
}

# Whether the highest lock still carries this token. Asked before every rename.
lock_mine() {
  lock_top
  lock_read "$(readlink ".shipit/lock.$top" 2>/dev/null)" && [ "$L_TOKEN" = "$TOKEN" ]
}

# How a side channel begins: listed in its session's directory T first, it then goes on only under that session's lock,
# so that it is never one that nobody ends. $1: the release that it is about, where there is one.
join_session() {
  if [ ! -d "$T/groups" ] || ! list_group || ! lock_mine || { [ $# -gt 0 ] && ! is_release "$1"; }; then
    say "why the session on this host is over"
    exit 10
  fi
}

lock_free() {
  lock_mine || return 0
  ln -s free ".shipit/lock.$((top + 1))" && rm -f ".shipit/lock.$top"
}
