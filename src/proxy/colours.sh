# Blue-green: two colours, each with its own link in colours/, its own processes and its own port. One is live; a release
# comes into the other, and the proxy leads the requests over. A colour's link changes only while nothing runs there, so
# a process never finds another release under its feet. The words are those of remote/switch.sh, and
#   switch_shift N    N percent of the requests go to the new colour; at 100 `current` names its release
# Needs lib.sh lock.sh, a service's functions with service_free, service_stop, service_resume and service_save, a proxy's words;
# BASE T NEW OLD BLUE_PORT GREEN_PORT PROXY_TEST PROXY_RELOAD DRAIN_S RETIRE, fd 8 for answers.
# shellcheck shell=sh disable=SC2034,SC2154

COLOUR='' COLOUR_PORT='' IDLE=''

# The service's words are about this colour from now on; - is none.
colour_choose() {
  COLOUR=${1#-} IDLE=''
  case $COLOUR in
    blue) COLOUR_PORT=$BLUE_PORT ;;
    green) COLOUR_PORT=$GREEN_PORT ;;
    *) COLOUR_PORT='' ;;
  esac
}

# The live one; where there is none, what runs without a colour, which is looked at and left alone.
colour_choose_live() {
  colour_choose "${LIVE_COLOUR:--}"
  [ -n "$COLOUR" ] || IDLE=yes
}

# Which colour is live, into LIVE_COLOUR, and where a release would come, into NEXT_COLOUR. Where both are of the release
# that `current` names, the proxy's file tells.
colours_find() {
  LIVE_COLOUR='' NEXT_COLOUR=blue
  link_name current
  live=$LINK
  [ -n "$live" ] || return 0
  for c in blue green; do
    link_name "colours/$c"
    [ "$LINK" = "$live" ] || continue
    if [ -z "$LIVE_COLOUR" ] || grep -q "^# Written.*[ :]$c 100[,.]" "$(proxy_file)" 2>/dev/null; then LIVE_COLOUR=$c; fi
  done
  [ "$LIVE_COLOUR" != blue ] || NEXT_COLOUR=green
}

# What the baseline found; the jobs that follow are about the new release's colour.
switch_known() {
  [ -s "$T/colours" ] || return 0
  read -r LIVE_COLOUR NEXT_COLOUR <"$T/colours"
  colour_choose "$NEXT_COLOUR"
}

# --- the proxy ----------------------------------------------------------------------------------------------------

# Runs a line of the proxy's, what it prints into the file $2, at most 30 s; how it failed into PROXY_WHY.
proxy_line() {
  PATH=$PATH:/usr/sbin:/sbin timeout 30 sh -c "$1" </dev/null >"$2" 2>&1 8>&- && return 0
  code=$?
  # nginx says what is wrong, and then that something is.
  PROXY_WHY="\`$1\` ended with $code: $({ grep '\[emerg]' "$2" || grep -v '^$' "$2"; } | tail -n 1)"
  return 1
}

# Whether sudo lets us run the reload line, asked before it is needed: who can't reload the proxy can't put it back either.
proxy_may_reload() {
  case $PROXY_RELOAD in
    *[!A-Za-z0-9_./:@%=,\ -]*) return 0 ;;
    "sudo "*) line=${PROXY_RELOAD#sudo } ;;
    *) return 0 ;;
  esac
  PATH=$PATH:/usr/sbin:/sbin timeout 30 sh -c "sudo -n -l ${line#-n }" </dev/null >/dev/null 2>&1 8>&- && return 0
  PROXY_WHY="\`$PROXY_RELOAD\` is nothing that sudo lets $(id -un) run"
  return 1
}

# Whether the proxy's own config is well before anything is changed: what is broken already would be blamed on the release.
# Why it leads to no colour yet into UNLED.
proxy_well() {
  proxy_suits || return 1
  shown=$(mktemp) || return 1
  proxy_line "$PROXY_TEST" "$shown"
  code=$?
  UNLED=$(proxy_shows "$shown") LEARNED=$(proxy_learn "$shown")
  rm -f "$shown"
  wrong="the proxy would not take its config"
  if [ "$code" = 0 ]; then
    proxy_may_reload && return 0
    wrong="the proxy could not be reloaded"
  fi
  printf 'refuse %s: %s\tcorrect it on the host; where the line needs rights that %s lacks, let sudo give them (visudo): %s ALL=(root) NOPASSWD: %s, %s; or name other lines: test and reload in [proxy]\n' \
    "$wrong" "$(plain "$PROXY_WHY")" "$(id -un)" "$(id -un)" "$(proxy_allowed "$PROXY_TEST")" "$(proxy_allowed "$PROXY_RELOAD")" >&8
  return 1
}

# A line as sudo's own file names it: without sudo, with the program's whole path.
proxy_allowed() {
  bare=${1#sudo } bare=${bare#-n }
  program=$(PATH=$PATH:/usr/sbin:/sbin command -v "${bare%% *}") || program=${bare%% *}
  printf '%s %s' "$program" "${bare#* }"
}

# Writes the weights down, blue and green, and has the proxy take them over.
proxy_lead() {
  proxy_render "$1" "$2" >"$T/upstream.new" || why "what the proxy reads can't be written" || return 1
  sync_one "$T/upstream.new"
  # Known to the way back before anything is begun.
  true >"$T/led" || why "the shift can't be noted" || return 1
  mv -f "$T/upstream.new" "$(proxy_file)" || why "what the proxy reads can't be put in place" || return 1
  # After a power cut the proxy reads what `current` says.
  sync_one .shipit/proxy
  proxy_line "$PROXY_TEST" "$T/proxy.log" || why "the proxy would not take the new weights: $PROXY_WHY" || return 1
  unled=$(proxy_shows "$T/proxy.log")
  if [ -n "$unled" ]; then
    # With nothing live nothing is lost: its owner leads the requests there once this file is written.
    [ "$LIVE_COLOUR" = - ] || why "$unled" || return 1
    printf 'warn %s\n' "$(plain "$unled")" >&8
  fi
  proxy_reload
}

proxy_reload() {
  true >"$T/reloaded" || why "the reload can't be noted" || return 1
  proxy_before
  proxy_line "$PROXY_RELOAD" "$T/proxy.out" || why "the proxy was not reloaded: $PROXY_WHY" || return 1
  proxy_taken
}

# Waits until nobody is connected to port $1 any more, at most DRAIN_S.
colour_drain() {
  hex=$(printf '%04X' "$1") left=$DRAIN_S quiet=0
  while [ "$left" -gt 0 ] && [ "$quiet" -lt 2 ]; do
    if grep -q "^ *[0-9]*: [0-9A-F]*:$hex [0-9A-F]*:[0-9A-F]* 01 " /proc/net/tcp /proc/net/tcp6 2>/dev/null; then quiet=0; else quiet=$((quiet + 1)); fi
    left=$((left - 1))
    sleep 1
  done
}

# --- the switch ---------------------------------------------------------------------------------------------------

# What the jobs that follow are about, and what the way back puts in place: that needs no space then.
colours_note() {
  mkdir -p colours .shipit/proxy && printf '%s %s\n' "${LIVE_COLOUR:--}" "$NEXT_COLOUR" >"$T/colours" &&
    printf '%s\n' "$LEARNED" >"$T/proxy.at" && true >"$T/proxy.out" || return 1
  if [ -f "$(proxy_file)" ]; then cp "$(proxy_file)" "$T/back/upstream"; else proxy_render 0 0 >"$T/back/upstream"; fi
}

switch_baseline() {
  colours_find
  proxy_well || return 1
  if ! colours_note; then
    printf "refuse the colours can't be noted in %s\tlook at its owner and at the free space: ls -la, df -h, df -i\n" "$BASE" >&8
    return 1
  fi
  printf 'fact colour %s\n' "$NEXT_COLOUR" >&8
  colour_choose_live
  service_baseline || return 1
  colour_choose "$NEXT_COLOUR"
  service_free
}

# The release comes into the colour that nobody is led to, and is proved there; or it still runs there.
switch_forward() {
  link_name "colours/$NEXT_COLOUR"
  if [ "$LINK" = "$NEW" ] && service_resume; then return 0; fi
  [ ! -e "$T/stop" ] || return 2
  true >"$T/started" || why "the start can't be noted" || return 1
  service_stop || return 1
  ln -s "../releases/$NEW" "$T/next/$NEXT_COLOUR" && mv -f "$T/next/$NEXT_COLOUR" colours/ || why "colours/$NEXT_COLOUR can't be switched" || return 1
  sync_one colours
  [ ! -e "$T/stop" ] || return 2
  service_activate
}

switch_shift() {
  [ ! -e "$T/stop" ] || return 2
  [ "$LIVE_COLOUR" != - ] || [ "$1" = 100 ] || return 0
  # Should the machine lose its power before the commit, both colours come back: whichever requests are led to answers.
  [ -e "$T/led" ] || service_save || why "which colours a reboot brings back can't be saved" || return 1
  note "$1% of the requests go to $NEXT_COLOUR, port $COLOUR_PORT"
  case $NEXT_COLOUR in
    blue) proxy_lead "$1" "$((100 - $1))" ;;
    *) proxy_lead "$((100 - $1))" "$1" ;;
  esac || return 1
  [ "$1" = 100 ] || return 0
  [ ! -e "$T/stop" ] || return 2
  swap_forward || why "current can't be switched" || return 1
  # As in switch.sh: whoever stopped us has put back a link that was not yet there.
  [ ! -e "$T/stop" ] || return 2
  sync_one .
  true >"$T/whole" || why "the shift can't be noted"
}

# The old weights first; then what was begun ends, once nobody is connected to it any more.
switch_back() {
  failed=''
  rm -f "$T/whole"
  if [ -e "$T/led" ]; then
    [ ! -e "$T/back/upstream" ] || mv -f "$T/back/upstream" "$(proxy_file)" || why "what the proxy reads can't be put back" || failed=yes
    if [ -e "$T/reloaded" ]; then proxy_reload || failed=yes; fi
  fi
  swap_back || why "current can't be put back" || return 1
  # While requests may still be led there, it goes on.
  [ -z "$failed" ] || return 1
  if [ -e "$T/started" ]; then
    [ ! -e "$T/reloaded" ] || colour_drain "$COLOUR_PORT"
    service_stop || return 1
    rm -f "colours/$NEXT_COLOUR"
  fi
  if [ "$LIVE_COLOUR" = - ]; then return 0; fi
  colour_choose "$LIVE_COLOUR"
  service_revert
}

# The old colour ends, or stays idle; after a reboot only the new one runs.
switch_commit() {
  if [ "$LIVE_COLOUR" != - ] && [ "$RETIRE" = commit ]; then
    colour_choose "$LIVE_COLOUR"
    colour_drain "$COLOUR_PORT"
    if service_stop; then rm -f "colours/$LIVE_COLOUR"
    else printf 'warn the old colour, %s, could not be stopped and runs on without requests; the next deploy ends it\n' "$LIVE_COLOUR" >&8; fi
    colour_choose "$NEXT_COLOUR"
  fi
  service_commit
}

# --- looking ------------------------------------------------------------------------------------------------------

switch_look() {
  colours_find
  printf 'fact colour %s\n' "$NEXT_COLOUR" >&8
  for c in ${LIVE_COLOUR:-} "$NEXT_COLOUR"; do
    colour_choose "$c"
    [ "$c" = "$LIVE_COLOUR" ] || IDLE=yes
    service_look
  done
}

switch_survey() {
  colours_find
  printf 'fact colour %s\n' "$NEXT_COLOUR" >&8
  proxy_well || return 1
  printf 'fact proxy %s\n' "$(plain "${UNLED:-leads}")" >&8
  colour_choose_live
  service_survey || return 1
  colour_choose "$NEXT_COLOUR"
  service_free
}
