# The jobs of a run: the session's (baseline, room, activate, shift, revert, record, ended, prune), those of side channels
# (prepare, boot, watch), the look at what a release could be made of (held) and a line of the user's own (line). Each runs as a process group of its own, by
# `sh T/driver.sh JOB [ARG]`, so that it can be ended whole;
# a later session runs the same file to recover. Standard output: lines `note`, `why`, `log`, `fact`, `refuse`;
# standard error: the log. Needs joined.sh, prune.sh, held.sh, a service's functions, switch.sh or another way; BASE TOKEN KEEP.
# shellcheck shell=sh disable=SC2154

note() { printf 'note %s\n' "$(plain "$1")" >&8 2>/dev/null || :; }
why() {
  printf 'why %s\n' "$(plain "$1")" >&8 2>/dev/null || :
  return 1
}

# The switch: journal, then the link, then the service. Everything that revert needs lies ready before.
activate() {
  lock_mine || why "the lock was lost" || return 1
  # The release's name, and all that its way back needs.
  sync_all "$T"
  ln -s "$TOKEN $NEW" .shipit/pending || why "the journal can't be written" || return 1
  sync_one .shipit
  [ ! -e "$T/stop" ] || return 2
  switch_forward
}

# So many percent of the requests to the new colour.
shift_to() {
  lock_mine || why "the lock was lost" || return 1
  switch_shift "$1"
}

# By state, not by history: usable at any moment after the journal, and again after a crash.
revert() {
  if ours; then
    switch_back || return 1
  else
    lock_mine || why "another run has taken the lock over; what is live is its business" || return 1
  fi
  cause=$(cat "$T/cause" 2>/dev/null) || cause=
  if [ -n "$cause" ]; then verdict "$NEW" failed "$cause"
  else verdict "$NEW" unproven "put back, not committed: $(cat "$T/left" 2>/dev/null || echo "the session ended")"; fi
  ! ours || { sync_one . && rm -f .shipit/pending && sync_one .shipit; }
}

# One line of history: the host's time and what it did, then the client's fields (verb, who, commit). Once a run.
history() {
  [ -s "$T/history" ] || return 0
  all=.shipit/history.jsonl
  # A line that a full disk cut short must not take the next one with it.
  [ ! -s "$all" ] || [ -z "$(tail -c 1 "$all")" ] || echo >>"$all"
  # What the client wrote has no newline at its end.
  read -r fields <"$T/history" || [ -n "$fields" ]
  printf '{"at":"%s",%s,%s}\n' "$(date -u +%Y-%m-%dT%H:%M:%SZ)" "$1" "$fields" >>"$all"
  rm -f "$T/history"
  [ "$(wc -l <"$all")" -gt 1000 ] || return 0
  # Only a whole copy takes its place: a disk that is full has the longer one.
  if tail -n 1000 "$all" >"$T/shorter"; then mv -f "$T/shorter" "$all"; else rm -f "$T/shorter"; fi
}

# A run that comes to its end without a commit leaves its line, too: what it wanted live, and why it is not.
ended() {
  [ -n "$NEW" ] || return 0
  state=unproven why="ended before the switch"
  [ ! -s "$T/verdict" ] || { read -r state && read -r why; } <"$T/verdict"
  history "\"release\":\"$NEW\",\"previous\":\"$OLD\",\"state\":\"$state\",\"why\":\"$why\""
}

# After the commit: what the record, the history and the service have to know. Runs again after a crash.
record() {
  set_state "$NEW" good "" "$OLD" || return 1
  if [ -s "$T/withdraw" ] && is_release "$OLD"; then set_state "$OLD" withdrawn "$(cat "$T/withdraw")" || return 1; fi
  # A pin goes with the commit: nobody deploys in between.
  [ ! -s "$T/hold" ] || mv -f "$T/hold" .shipit/hold || return 1
  history "\"release\":\"$NEW\",\"previous\":\"$OLD\",\"state\":\"good\""
  sync_one .shipit/history.jsonl
  switch_commit
  # What its hooks did is meant to stay.
  rm -rf "$T/hooks" .shipit/incoming
  rm -f .shipit/committed
}

set -u
trap : HUP INT TERM PIPE
exec 8>&1 1>&2
cd "$BASE" || exit 1
T=.shipit/t.$TOKEN
link_name "$T/new"
NEW=$LINK
link_name "$T/old"
OLD=$LINK
switch_known
# What can't be ended may not begin; only what puts things right must run in any case.
list_group || case $1 in
  revert | record | ended) ;;
  # A name is made ready for the lines of the way back: a directory takes no new one on a disk without inodes.
  line) mv "$T/groups/spare" "$T/groups/$GROUP.$P_START" || exit 1 ;;
  *) why "the job can't be listed in $BASE/$T" || exit 1 ;;
esac
case $1 in
  activate | revert | record | ended | prune | room | held) "$1" ;;
  line) exec env -i "PATH=$PATH" sh "$BASE/$T/$2" >&8 8>&- ;;
  shift) shift_to "$2" ;;
  baseline) switch_baseline ;;
  prepare | boot | health | watch | log) word=$1; shift; "service_$word" "$@" ;;
  *) exit 1 ;;
esac
