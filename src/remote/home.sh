# Enters the app's home on the host and says what stands in the way. Defines functions; needs lib.sh, BASE.
# shellcheck shell=sh disable=SC2034

# One finding that stops a run before anything is changed: what is wrong, and the cure.
refuse() {
  to_plain "$1"
  what=$PLAIN
  to_plain "$2"
  say "refuse $what$TAB$PLAIN"
}

# A folder on the way to the home that can't be entered, though something of its name is there.
home_closed() {
  if [ -d "$1" ]; then
    refuse "$1 can't be entered by $(id -un)" "as root on the host: chown $(id -un) $(quoted "$1") if it is the app's own, else chmod a+x $(quoted "$1")"
  else
    refuse "$1 is there, but no directory" "move it away on the host, or choose another path in deploy.toml"
  fi
}

# What keeps a home that is not there from being made; 0 where nothing is seen to. Sets ABOVE: what there is of its path.
home_above() {
  ABOVE=$BASE
  while [ ! -e "$ABOVE" ] && [ ! -L "$ABOVE" ]; do ABOVE=$(dirname "$ABOVE"); done
  if ! (cd "$ABOVE") 2>/dev/null; then
    home_closed "$ABOVE"
    return 1
  elif [ ! -w "$ABOVE" ]; then
    refuse "$BASE can't be made: $ABOVE is not writable for $(id -un)" "as root on the host: install -d -o $(id -un) $(quoted "$BASE")"
    return 1
  fi
}

# Whether all that a run writes to can be written; what is not there yet is no hindrance. Run inside the home.
home_writable() {
  for d in . .shipit .shipit/manifests .shipit/assets .shipit/records releases; do
    [ ! -e "$d" ] && [ ! -L "$d" ] || { [ -d "$d" ] && [ -w "$d" ]; } || return 1
  done
  [ -d shared ] || { [ ! -e shared ] && [ ! -L shared ]; }
}

# What is not writable is tried, so that the system says why: with a read-only file system no owner is to blame.
refuse_unwritable() {
  for d in . .shipit .shipit/manifests .shipit/records releases; do
    if [ ! -d "$d" ] || [ -w "$d" ]; then continue; fi
    case $(mkdir "$d/.w.$TOKEN" 2>&1) in *[Rr]ead-only*)
      refuse "$BASE can't be written: its file system is read-only" "as root on the host: mount -o remount,rw $(quoted "$(df -P . | sed -n '2s|^.*% *\(/.*\)|\1|p')"); if it became so by itself, see dmesg first"
      return ;;
    esac
  done
  refuse "$BASE is not writable for $(id -un)" "as root on the host: chown -R $(id -un) $(quoted "$BASE")"
}

# Makes the home and the state directory. Two accounts that share a home share a group: then all is group-writable.
home_make() {
  # Whatever the login's own: who serves these files may be another account.
  umask 022
  if ! error=$(mkdir -p "$BASE" 2>&1); then
    home_above || return 1
    refuse "$BASE can't be made: ${error##*: }" "as root on the host: install -d -o $(id -un) $(quoted "$BASE")"
    return 1
  fi
  if ! cd "$BASE" 2>/dev/null; then
    home_closed "$BASE"
    return 1
  fi
  home_modes
  if ! error=$(mkdir -p .shipit .shipit/manifests .shipit/assets .shipit/records releases shared 2>&1) || ! home_writable; then
    refuse_unwritable
    return 1
  fi
}

# shellcheck disable=SC2012 # stat has no common form; the mode is the first word
home_modes() {
  case $(ls -ld .) in
    ?????w*) umask 002 ;;
    *) umask 022 ;;
  esac
}

# `current` must be absent, or a link to something in releases/. Anything else is the user's and is never touched. Its text
# is read once, into LIVE, empty where there is none: a look that fails may not pass for nothing being live.
home_current() {
  LIVE=
  if [ -L current ]; then
    if ! LIVE=$(readlink current); then
      refuse "current can't be read" "look at it on the host, then try again: ls -l $(quoted "$BASE/current")"
      return 1
    fi
    case ${LIVE#"$(pwd -P)/"} in
      releases/*/* | releases/) ;;
      releases/* | ./releases/*) return 0 ;;
    esac
    refuse "current points to $LIVE, which is not in releases/" \
      "adopt it (between the last two commands nothing is live): cd $(quoted "$BASE") && mkdir -p releases && cp -a current/. releases/before-shipit && rm current && ln -s releases/before-shipit current"
    return 1
  elif [ -e current ]; then
    refuse "current is a real directory, not a link" \
      "adopt it (between the last two commands nothing is live): cd $(quoted "$BASE") && mkdir -p releases && mv current releases/before-shipit && ln -s releases/before-shipit current"
    return 1
  fi
}

# A word for a command line that a person will paste.
quoted() { printf "'%s'" "$(printf '%s' "$1" | sed "s/'/'\\\\''/g")"; }
