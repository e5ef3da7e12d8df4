# A side channel that runs one hook on this host, or its undo line. MODE run: notes the undo line (NOTE), then runs RUN;
# note: only notes it; undo: runs RUN and takes the note away; done: only takes it away. LAST: no undo is left after it.
# The line's output is told line by line, without the values of env_file. Ends with its own input, and with the session.
# Needs joined.sh line.sh undone.sh; BASE TOKEN NEW MODE NUMBER NOTE RUN LAST LIMIT APP_DIR ENV ENV_FILE.
# shellcheck shell=sh disable=SC2153,SC2154

set -u
exec 3>&1 1>&2 5<&0 </dev/null
trap : HUP INT TERM PIPE
cd "$BASE" || exit 10
T=.shipit/t.$TOKEN
join_session "$NEW"

finish() {
  say "done $1"
  # The watch and its `cat`, and whatever else of this channel is left.
  kill -TERM "-$GROUP" 2>/dev/null
  exit 0
}
fail() {
  say "why $(plain "$1")"
  finish 1
}
settle() {
  rm -f "$T/hooks/$NUMBER"
  [ -z "$LAST" ] || forget_undone "$NEW"
}

mkdir -p "$T/hooks" || fail "the hook can't be noted in $BASE/$T"
case $MODE in
  run | note)
    if [ -n "$NOTE" ] && ! { printf '%s\n' "$NOTE" >"$T/hooks/part.$NUMBER" && sync_one "$T/hooks/part.$NUMBER" && mv -f "$T/hooks/part.$NUMBER" "$T/hooks/$NUMBER"; }; then
      fail "its undo line can't be noted in $BASE/$T"
    fi ;;
  undo)
    # A hook that was called off may still be on its way out.
    for g in "$T"/groups/*.*; do
      n=${g##*/}
      case $n in *[!0-9.]*) continue ;; esac
      [ "${n%.*}" = "$GROUP" ] || end_group "${n%.*}" "${n#*.}" || fail "a hook that was called off can't be ended"
    done ;;
esac
case $MODE in
  note) finish 0 ;;
  done) settle; finish 0 ;;
esac

# The values of env_file of eight characters and more: they stay here.
masked() {
  while IFS= read -r secret; do
    while case $line in *"$secret"*) ;; *) false ;; esac; do line="${line%%"$secret"*}***${line#*"$secret"}"; done
  done <"$T/mask"
}

here=$(pwd -P)
line_write hooks/line "$here/releases/$NEW${APP_DIR:+/$APP_DIR}" "$RUN" "$ENV_FILE" "$ENV" || fail "$LINE_WHY"
rm -f "$T/hooks/out" "$T/hooks/line.stop"
mkfifo "$T/hooks/out" || fail "the hook's output can't be read"
# Tells up to $1 lines; whether there were so many.
told() {
  n=0
  while [ "$n" -lt "$1" ]; do
    IFS= read -r line || [ -n "$line" ] || return 1
    masked
    say "out $line"
    n=$((n + 1))
  done
}
# A shell reads byte by byte, and the line waits for it: of one that prints on and on only the end is told.
(
  exec 5<&-
  told 2000 && { say "out [of all that follows, the last 50 lines]"; tail -n 50 | told 50; }
) <"$T/hooks/out" &
READER=$!
( exec 3>&-; cat <&5; true >"$T/hooks/line.stop" ) >/dev/null 2>&1 &
exec 5<&-
line_run hooks/line "$LIMIT" >"$T/hooks/out" 2>&1 3>&-
# A hook leaves nothing running behind it: the session would end it anyway, at a time that nobody can tell.
end_group "$LINE" "$LINE_START"
if proc_stat "$READER"; then
  start=$P_START
  left=10
  while [ "$left" -gt 0 ] && proc_is "$READER" "$start"; do
    left=$((left - 1))
    sleep 0.1 2>/dev/null || sleep 1
  done
fi
[ -z "$LINE_WHY" ] || fail "$LINE_WHY"
if [ "$MODE" = undo ] && [ "$LINE_CODE" = 0 ]; then settle; fi
finish "$LINE_CODE"
