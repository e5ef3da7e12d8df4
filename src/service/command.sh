# The user's own lines start, revert, stop and look at the service. A line's exit code says what its author meant it to;
# what can be proved beside it is whose working directory the process has that listens on `port`. See service/mod.rs.
# Needs lib.sh line.sh; BASE T NEW OLD. Its settings are the shell variables in T/service.json.
# shellcheck shell=sh disable=SC2154,SC2034,SC1090,SC2153

command_settings() { . "$BASE/$T/service.json"; }

# Runs line $2, called $1, in release $3's app directory for at most $4 seconds; its exit code.
command_line() {
  command_settings
  command_write "$1" "$2" "$3" || { why "$1: $LINE_WHY"; return 125; }
  # Its listener may hold on to this file for as long as it lives: a file never blocks, and ends nobody.
  log=$T/$1.log
  (true >"$log") 2>/dev/null || log=/dev/null
  line_run "command.$1.$3" "$4" >"$log" 2>&1 8>&- 7>&-
  [ -z "$LINE_WHY" ] || { command_tail "$1"; why "the $1 line: $LINE_WHY"; return 124; }
  return "$LINE_CODE"
}

# Line $2, called $1, for release $3, unless it is written already.
command_write() {
  [ ! -s "$T/command.$1.$3" ] || return 0
  line_write "command.$1.$3" "$(pwd -P)/releases/$3${APP_DIR:+/$APP_DIR}" "$2" "$ENV_FILE" "$ENV
SHIPIT_RELEASE=$3
SHIPIT_PREVIOUS=$OLD" || { rm -f "$T/command.$1.$3"; return 1; }
}

# The last lines that the line $1 printed, without the values of env_file.
command_tail() {
  tail -n 20 "$T/$1.log" 2>/dev/null | while IFS= read -r line; do
    while IFS= read -r secret; do
      while case $line in *"$secret"*) ;; *) false ;; esac; do line="${line%%"$secret"*}***${line#*"$secret"}"; done
    done <"$T/mask"
    printf 'log %s\n' "$(plain "$line")" >&8
  done
}

command_failed() {
  case $2 in 124 | 125) ;; *) command_tail "$1"; why "the $1 line ended with $2" ;; esac
  return 1
}

# Who listens on PORT, into SEEN: `none`; `hidden`: somebody whom this account may not look at; `PID RELEASE START`
# of a process that works in a release of this home; `PID - START` of one that works elsewhere.
command_seen() {
  SEEN=none
  hex=$(printf '%04X' "$PORT")
  # A busy host has thousands of lines in other states, too many for this shell to read.
  inodes=$(grep -h ":$hex [0-9A-F]*:0000 0A " /proc/net/tcp /proc/net/tcp6 2>/dev/null | while read -r _ _ _ _ _ _ _ _ _ socket _; do echo "$socket"; done)
  [ -n "$inodes" ] || return 0
  SEEN=hidden
  here=$(pwd -P)
  # One look at everybody: a tool called for each process takes a second where there are hundreds of them.
  set --
  for inode in $inodes; do set -- "$@" -e "/socket:\\[$inode\\]\$/{g;p;}"; done
  # shellcheck disable=SC2012 # only numbers and what stands behind the arrow are looked for
  for p in $(ls -ln /proc/[0-9]*/fd 2>/dev/null | sed -n -e '/^\/proc\/[0-9]*\/fd:$/{h;d;}' "$@"); do
    p=${p%/fd:} pid=${p#/proc/}
    proc_stat "$pid" || continue
    at=$(readlink "$p/cwd" 2>/dev/null) || continue
    case $at in
      "$here/releases/"*) at=${at#"$here/releases/"} at=${at%%/*} SEEN="$pid ${at%% *} $P_START"; return 0 ;;
      *) SEEN="$pid - $P_START" ;;
    esac
  done
}

# Waits until release $1 is seen to run, at most WITHIN_S; says what can't be proved. $2 is `activate` or `revert`.
command_proved() {
  command_settings
  if [ -n "$STATUS" ]; then
    left=$WITHIN_S
    while ! command_line status "$STATUS" "$1" "$STATUS_S"; do
      left=$((left - 1))
      if [ "$left" -le 0 ]; then
        command_tail status
        why "after $2 the status line did not end with 0 within $WITHIN_S s"
        return 1
      fi
      sleep 1
    done
  fi
  if [ -z "$PORT" ]; then
    command_doubt "without service.command.port nobody can tell which release runs"
    return 0
  fi
  left=$WITHIN_S
  while :; do
    command_seen
    case $SEEN in
      *" $1 "*) note "process ${SEEN%% *} listens on port $PORT and runs $1"; printf '%s\n' "$SEEN" >"$T/live"; return 0 ;;
      hidden) command_doubt "who listens on port $PORT belongs to another account"; return 0 ;;
      *" - "*) command_doubt "process ${SEEN%% *} listens on port $PORT, and works in no release"; return 0 ;;
    esac
    left=$((left - 1))
    [ "$left" -gt 0 ] || break
    sleep 1
  done
  seen_release=${SEEN#* }
  # The service's own words, where its status line has any.
  [ -z "$STATUS" ] || command_line status "$STATUS" "$1" "$STATUS_S" || command_tail status
  case $SEEN in
    none) why "nothing listens on port $PORT within $WITHIN_S s after $2" ;;
    *) why "process ${SEEN%% *} still listens on port $PORT and runs ${seen_release%% *} instead of $1" ;;
  esac
}

command_doubt() {
  note "not provable here: $1"
  printf 'fact doubt %s\n' "$1" >&8
}

service_baseline() {
  command_settings
  running=absent
  if [ -n "$OLD" ] && [ -n "$STATUS" ]; then
    if command_line status "$STATUS" "$OLD" "$STATUS_S" 8>/dev/null; then running=online; else running='broken the status line fails'; fi
  fi
  if [ -n "$PORT" ]; then
    command_seen
    command_free || return 1
    if [ -n "$OLD" ]; then
      case $SEEN in
        none) running=absent ;;
        *" $OLD "*) [ "$running" != absent ] || running=online ;;
        *' - '* | hidden) [ "$running" != absent ] || running=online ;;
        *) running="broken port $PORT is not served by $OLD" ;;
      esac
    fi
  elif [ -n "$OLD" ] && [ -z "$STATUS" ]; then
    running=unknown
  fi
  printf '%s\n' "$running" >"$T/before"
  printf 'fact service %s\n' "$running" >&8
}

# Whether the port of a first deploy is free, by SEEN.
command_free() {
  if [ -n "$OLD" ] || [ "$SEEN" = none ]; then return 0; fi
  printf 'refuse port %s is taken by %s\tchoose another port, or stop what listens there; shipit never stops what it did not start\n' "$PORT" "$(command_who)" >&8
  return 1
}

command_who() {
  case $SEEN in
    hidden) echo "a process of another account" ;;
    *) echo "process ${SEEN%% *}" ;;
  esac
}

# What the way back will run is written before the switch: a disk that fills up meanwhile must not stop it.
service_prepare() {
  command_settings
  rm -f "$T"/command.*
  if [ -n "$OLD" ]; then
    command_write revert "$REVERT" "$OLD" && { [ -z "$STATUS" ] || command_write status "$STATUS" "$OLD"; }
  else
    [ -z "$STOP" ] || command_write stop "$STOP" "$NEW"
  fi || why "the way back: $LINE_WHY"
}
service_boot() { :; }

service_activate() {
  command_settings
  # Known to a revert before anything is begun.
  true >"$T/started" || why "the start can't be noted" || return 1
  [ ! -e "$T/stop" ] || return 2
  note "start: $START"
  command_line start "$START" "$NEW" "$START_S" || { command_failed start $?; return 1; }
  [ ! -e "$T/stop" ] || return 2
  command_proved "$NEW" activate
}

service_health() {
  why "this host forwards no ports, and a service of your own lines has no way to look from it: set AllowTcpForwarding yes in its sshd_config, or health.from = \"here\""
}

# The soak: the process that was seen stays the same one, and the status line goes on saying yes.
service_watch() {
  command_settings
  left=$(((${1:-0} + 999) / 1000))
  while [ "$left" -gt 0 ] && [ ! -e "$T/stop" ]; do
    command_same || return 1
    sleep 1
    left=$((left - 1))
  done
  command_same || return 1
  [ -z "$STATUS" ] || command_line status "$STATUS" "$NEW" "$STATUS_S" || { command_failed status $?; return 1; }
}

command_same() {
  [ -s "$T/live" ] || return 0
  read -r pid _ start <"$T/live"
  proc_is "$pid" "$start" || { command_tail start; why "process $pid ended during the soak"; }
}

service_revert() {
  [ -e "$T/started" ] || return 0
  command_settings
  rm -f "$T/live"
  if [ -z "$OLD" ]; then
    if [ -n "$STOP" ]; then
      command_line stop "$STOP" "$NEW" "$REVERT_S" || { command_failed stop $?; return 1; }
    else
      note "there is no stop line: what start began may still run"
    fi
    [ -n "$PORT" ] || return 0
    command_seen
    case $SEEN in *" $NEW "*)
      why "process ${SEEN%% *} of the first start still listens on port $PORT: end it with kill ${SEEN%% *}, and give service.command.stop"
      return 1 ;;
    esac
    return 0
  fi
  command_line revert "$REVERT" "$OLD" "$REVERT_S" || { command_failed revert $?; return 1; }
  read -r before <"$T/before" || before=unknown
  case $before in
    online) command_proved "$OLD" revert ;;
    unknown) command_doubt "there is no status line and no port to tell what runs" ;;
    *) note "it did not run well before either: $before" ;;
  esac
}

service_commit() { :; }
service_log() { command_tail start; }

service_look() {
  PORT=${NAMES%% *}
  [ -n "$PORT" ] || return 0
  command_seen
  case $SEEN in
    none | hidden | '') return 0 ;;
  esac
  rest=${SEEN#* } release=${rest%% *}
  case $release in
    -) proof="not provable: it works in no release" release=null ;;
    *) link_name current; if [ "$release" = "$LINK" ]; then proof=proved; else proof=contradicted; fi; release="\"$release\"" ;;
  esac
  printf 'worker {"name":"%s","pm_id":null,"pid":%s,"status":"online","release":%s,"restarts":null,"uptime_ms":null,"proof":"%s"}\n' \
    "$(plain "${NAMES#* }")" "${SEEN%% *}" "$release" "$proof" >&8
}

# The lines of the user's own are not run for a look: a port is all that can be asked.
service_survey() {
  eval "$SETTINGS"
  [ -n "$PORT" ] || return 0
  command_seen
  command_free || return 1
  case $SEEN in
    none) printf 'fact service absent\nfact port free\n' >&8 ;;
    hidden) printf 'fact port unseen\n' >&8 ;;
    *) service_look ;;
  esac
}
