# The session: open for the whole run, it holds the lock and performs the switch. Its standard input is the
# permission to go on: end of input or silence puts back what was live and frees the lock. One event loop over one
# fifo, so that both are seen while a job runs. No tool ever holds the channel: jobs read nothing, their error
# output goes to a log, and a client that is gone is not noticed by them.
# Needs facts.sh undone.sh; COMMON (what it shares with its other scripts: lib.sh path.sh lock.sh home.sh verify.sh) BASE TOKEN
# WHO SSH_PATH SILENCE DRIVER PROGRAM SETTINGS SHARED_FILES HISTORY
# RECORD_S (seconds for what follows a commit), REUSE (empty: nobody asks what could be reused), SERVICE (empty: nothing runs);
# T/limits, written with the release: seconds for `activate`, for `revert`, and the workers that these reckon with.
# shellcheck shell=sh disable=SC2154,SC2034,SC2153

eval "$COMMON"
set -u
exec 3>&1 1>&2 5<&0 </dev/null
trap : HUP INT TERM PIPE

bye() { say "bye $1"; exit 0; }

# --- begin: home, lock, what an earlier run left, facts -----------------------------------------------------------

home_make || bye refused
lock_take
case $? in
  1) say "locked ${L_WHO:-unknown} ${L_SINCE:-unknown}"; bye locked ;;
  2) refuse "the lock can't be written in $BASE/.shipit" "look at its owner and at the free space: ls -la, df -h, df -i"; bye refused ;;
esac
T=.shipit/t.$TOKEN
# All that a revert will need is written before anything is changed: a full disk is found out here.
if ! { mkdir -m 700 "$T" && mkdir "$T/groups" "$T/next" "$T/back" && mkfifo "$T/ev" "$T/out" &&
  printf '%s\n' "$COMMON" >"$T/common.sh" && printf '%s\n' "$DRIVER" >"$T/driver.sh" && printf '%s' "$PROGRAM" >"$T/service.cjs" &&
  printf '%s\n' "$BOOT:$NS" >"$T/boot" && true >"$T/go" && true >"$T/groups/spare" && printf '%s\n' "$SETTINGS" >"$T/service.json" && printf '%s' "$HISTORY" >"$T/history"; }; then
  refuse "the session's notes can't be written in $BASE/.shipit" "look at the free space: df -h, df -i"
  rm -rf "$T"; lock_free; bye refused
fi
exec 4<>"$T/ev" 7<>"$T/out"
# Reads what tools print to the end, also when the log can't be written: a full pipe or disk must not stop a tool.
# It ends by itself when nobody holds the fifo any more, and not before: a revert may still print.
( trap '' HUP INT TERM; exec 3>&- 4>&- 5<&- 7>&-; cat >>"$T/log"; cat >/dev/null ) <"$T/out" 2>/dev/null &

# The line of history of a run that was not committed; nothing is left to write for one that was.
ended() { ( exec 3>&- 4>&- 5<&- 7>&-; setsid sh "$1/driver.sh" ended ) >/dev/null 2>&1 </dev/null; }

# Puts right what a dead session left, by that session's own driver and notes. Its journal decides the direction.
recover() {
  for j in pending committed; do
    [ -L ".shipit/$j" ] || continue
    # Its own session may live after all, where the lock was taken away by hand, and finish it under our eyes.
    if stuck=$(leftover_stuck "$j"); then
      [ -L ".shipit/$j" ] || continue
      say "stuck $stuck"
      return 1
    fi
    text=$(readlink ".shipit/$j") || continue
    left=${text%% *}
    end_groups ".shipit/t.$left" || { say "stuck what the earlier run started can't be ended"; return 1; }
    what=revert ended=reverted
    if [ "$j" = committed ]; then what=record ended=committed; fi
    tries=0
    until out=$(exec 3>&- 4>&- 5<&- 7>&-; setsid sh ".shipit/t.$left/driver.sh" $what 2>>"$T/log"); do
      # That session may also end what works in its name, this too, without a word; it is over then.
      [ "$(readlink ".shipit/$j" 2>/dev/null)" = "$text" ] || continue 2
      tries=$((tries + 1)) reason=$(printf '%s\n' "$out" | sed -n 's/^why //p' | tail -n 1)
      if [ -n "$reason" ] || [ "$tries" = 3 ]; then
        say "stuck ${reason:-what puts it right was ended again and again}"
        return 1
      fi
      sleep 1
    done
    ended ".shipit/t.$left"
    say "recovered $ended ${text#* }"
  done
  for d in .shipit/t.*; do
    if is_token "${d##*/t.}" && [ "$d" != "$T" ] && [ -d "$d" ] && [ ! -L "$d" ] && end_groups "$d"; then keep_incoming "$d"; keep_undone "$d"; clear_notes "$d"; fi
  done
  trashed
  # shellcheck disable=SC2086 # names without blanks
  if [ -n "$TRASH" ]; then ( exec 3>&- 4>&- 5<&- 7>&-; rm -rf $TRASH ) & fi
}

# Whether a journal of this run is left.
unfinished() {
  for j in pending committed; do
    text=$(readlink ".shipit/$j" 2>/dev/null) || continue
    [ "${text%% *}" != "$TOKEN" ] || return 0
  done
  return 1
}

# --- the end: groups first, then the lock -------------------------------------------------------------------------

finish() {
  [ -z "$READER" ] || kill "$READER" "$TICKER" 2>/dev/null
  # While something of ours may still work here, nobody else may.
  end_groups "$T" || { say "warn what this run started can't be ended; the lock stays"; bye "$1"; }
  # The notes of a switch that could not be put back, or not be recorded, stay: whoever comes next needs them.
  [ "$STATE" = stuck ] || unfinished || { ended "$T"; keep_incoming "$T"; keep_undone "$T"; clear_notes "$T"; }
  lock_free
  bye "$1"
}

STATE=idle READER='' TICKER='' NEXT=''
if ! recover; then
  STATE=recovery
  finish stuck
fi
home_current || finish refused
OLD=
if [ -n "$LIVE" ]; then
  OLD=${LIVE##*/}
  # Without these the way back would be that of a first deploy: no `current` at all.
  if ! { [ -n "$OLD" ] && ln -s "$LIVE" "$T/old" && ln -s "$LIVE" "$T/back/current"; }; then
    refuse "what is live can't be noted in $BASE/.shipit" "look at the free space: df -h, df -i"
    finish refused
  fi
fi
# Beside all that follows, up to the answer to it and the client's own build.
# That it is over is said by who outlives it: the client waits for that.
if [ -n "$REUSE" ]; then ( exec 4>&- 5<&-; setsid sh "$T/driver.sh" held </dev/null >&3 2>&7 3>&- 7>&-; say told ) & fi
facts
facts_current
facts_releases
facts_missing
facts_hold
if [ -n "$SERVICE" ]; then ( exec 3>&- 4>&- 5<&-; setsid sh "$T/driver.sh" baseline </dev/null 2>&7 7>&-; echo "ended $?" ) | facts_service; fi
say facts

# --- the loop -----------------------------------------------------------------------------------------------------

# A subshell forgets the traps. Whoever asks the whole group to end (logind, a container's init) asks for what the end
# of input asks for; without these two the loop would hear neither words nor time, and hold the lock for ever.
(
  trap 'echo eof; exit' HUP INT TERM
  exec 3>&- 4>&- 7>&-
  while IFS= read -r word; do printf 'word %s\n' "$word"; done <&5
  echo eof
) >"$T/ev" 2>/dev/null &
READER=$!
(
  trap 'echo eof; exit' HUP INT TERM
  exec 3>&- 4>&- 5<&- 7>&-
  while sleep 1; do echo tick || exit; done
  echo eof
) >"$T/ev" 2>/dev/null &
TICKER=$!
exec 5<&-

# JOB runs for at most LEFT ticks; IDLE ticks since the last word; LEAVE: why the session ends; BACK: the switch is to
# be taken back as soon as the job is over; WHY: what the job said.
JOB='' LEFT=0 IDLE=0 LEAVE='' BACK='' WHY='' LOGGED='' CAUSE='' SHARE=0

start() {
  JOB=$1 LEFT=$2 WHY='' PRUNED=0 LOGGED=''
  (
    trap : HUP INT TERM
    exec 3>&- 4>&-
    setsid sh "$T/driver.sh" "$1" "${3-}" </dev/null >"$T/ev" 2>&7 7>&-
    echo "done $?" >"$T/ev"
  ) 2>/dev/null &
}

# Puts the link back at once and lets the job in flight come to its end: a worker that is being reloaded can't be
# called back, but no further one is touched.
halt() {
  # A rename needs no space, and unlike a failed redirection it can't end this shell.
  mv -f "$T/go" "$T/stop" 2>/dev/null
  link_name "$T/new"
  NEW=$LINK
  ! ours || swap_back
}

begin_revert() {
  STATE=reverting
  halt
  start revert "$REVERT_S"
}

# $1 is why the release failed; a release that is merely not wanted any more has no cause.
fail() {
  CAUSE=$1
  printf '%s' "$1" >"$T/cause"
  begin_revert
}

# The client is gone, silent or talks nonsense: nothing more may begin, and what was switched goes back.
leave() {
  [ -z "$LEAVE" ] || return 0
  LEAVE=$1
  # Whatever follows is not the release's fault.
  say "fact left $1"
  printf '%s' "$1" >"$T/left"
  case $STATE in
    active) BACK=yes; halt ;;
    held) begin_revert ;;
  esac
}

# The last lines of the tools' log, so that a failure brings its reason with it; the app's own words are better.
tail_log() { [ -n "$LOGGED" ] || tail -n 30 "$T/log" 2>/dev/null | cut -c1-800 | while IFS= read -r line; do say "log $(plain "$line")"; done; }

job_done() {
  job=$JOB
  JOB=
  case $job-$1 in
    activate-0) if [ -n "$BACK" ]; then begin_revert; else STATE=held; say ready; fi ;;
    shift-0) if [ -n "$BACK" ]; then begin_revert; else STATE=held; say "shifted $SHARE"; fi ;;
    activate-* | shift-*) if [ -n "$BACK" ]; then begin_revert; else tail_log; fail "${WHY:-$job failed}"; fi ;;
    revert-0) STATE=reverted; say "reverted ${CAUSE:-$LEAVE}" ;;
    revert-*) tail_log; STATE=stuck; say "stuck ${WHY:-the service could not be put back}" ;;
    record-*)
      STATE=recorded
      [ "$1" = 0 ] || say "warn the record could not be finished; the next run does it"
      say recorded
      case $NEXT-$LEAVE in prune- | prune-end) start prune 600 ;; esac ;;
    room-*) facts_space; say "pruned $PRUNED" ;;
    prune-*) [ "$1" = 0 ] || say "warn cleanup stopped half-way: ${WHY:-see the log}"; say "pruned $PRUNED" ;;
  esac
}

word() {
  case $1-$STATE in
    # What was taken over is somebody else's to judge: the client must not believe it still held.
    ping-*) lock_mine || leave "the lock was taken over"; say "pong $STATE" ;;
    activate-idle) if [ -L "$T/new" ] && [ -z "$JOB$LEAVE" ] && read -r ACTIVATE_S REVERT_S _ <"$T/limits"; then STATE=active; start activate "$ACTIVATE_S"; else leave "nothing to activate"; fi ;;
    # What a client sends is no number until it was looked at.
    shift\ [0-9]-held | shift\ [0-9][0-9]-held | shift\ 100-held)
      if [ -s "$T/colours" ] && [ -z "$JOB$LEAVE" ]; then SHARE=${1#* } STATE=active; start shift 120 "$SHARE"; else leave "nonsense: nothing to shift"; fi ;;
    commit-held)
      if [ -s "$T/colours" ] && [ ! -e "$T/whole" ]; then leave "nonsense: commit before all requests are shifted"
      elif lock_mine && mv -f .shipit/pending .shipit/committed; then
        # What is told must be so after a power cut, too.
        sync_one .shipit
        STATE=committed; say committed; start record "$RECORD_S"
      else
        CAUSE="the commit could not be written"
        begin_revert
      fi ;;
    revert-active) CAUSE="taken back by the client"; printf '%s' "$CAUSE" >"$T/cause"; BACK=yes; halt ;;
    revert-held) fail "taken back by the client" ;;
    # Said ahead, with the commit: it comes after the record, or not at all.
    prune-committed) NEXT=prune ;;
    prune-reverting | prune-reverted | prune-stuck) ;;
    prune-recorded | prune-idle) if [ -z "$JOB$LEAVE" ]; then start prune 600; else leave "nonsense: prune during $JOB"; fi ;;
    room-idle) if [ -z "$JOB$LEAVE" ]; then start room 600; else leave "nonsense: room during $JOB"; fi ;;
    end-idle | end-committed | end-recorded | end-reverting | end-reverted | end-stuck) [ -n "$LEAVE" ] || LEAVE=end ;;
    *) leave "nonsense: $(plain "$1") while $STATE" ;;
  esac
}

# A job that outlives its time is ended with its whole group; what follows is what follows a failure.
overdue() {
  WHY="$JOB took longer than its limit"
  case $JOB in activate | shift) halt ;; esac
  end_groups "$T"
}

while :; do
  # A trapped signal may end `read`: that is no event.
  read -r kind rest <&4 || continue
  case $kind in
    tick)
      IDLE=$((IDLE + 1))
      [ "$IDLE" -lt "$SILENCE" ] || leave silence
      if [ -n "$JOB" ]; then
        LEFT=$((LEFT - 1))
        [ "$LEFT" != 0 ] || overdue
      fi ;;
    word) IDLE=0; word "$rest" ;;
    eof) leave "end of input" ;;
    done) job_done "$rest" ;;
    # What an ended job says last is only a consequence of its end.
    why) [ "$LEFT" -lt 1 ] || WHY=$rest ;;
    prune) PRUNED=$((PRUNED + 1)); say "removed $rest" ;;
    log) LOGGED=yes; say "log $rest" ;;
    note | fact | warn) say "$kind $rest" ;;
  esac
  if [ -n "$LEAVE" ] && [ -z "$JOB" ]; then
    case $STATE in idle | recorded | reverted | stuck) break ;; esac
  fi
done
finish "$LEAVE"
