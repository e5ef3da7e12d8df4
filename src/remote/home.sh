# Enters the app's home on the host and says what stands in the way. Defines functions; needs lib.sh, BASE.
# shellcheck shell=sh disable=SC2034

# One finding that stops a run before anything is changed: what is wrong, and the cure.
refuse() { say "refuse $(plain "$1")$TAB$(plain "$2")"; }

TAB=$(printf '\t')

# Makes the home and the state directory. Two accounts that share a home share a group: then all is group-writable.
home_make() {
  if ! error=$(mkdir -p "$BASE" 2>&1); then
    refuse "$BASE can't be made: ${error##*: }" "as root on the host: install -d -o $(id -un) $(quoted "$BASE")"
    return 1
  fi
  cd "$BASE" || return 1
  home_modes
  if ! error=$(mkdir -p .shipit .shipit/manifests .shipit/records releases shared 2>&1) || [ ! -w . ] || [ ! -w .shipit ] || [ ! -w releases ]; then
    refuse "$BASE is not writable for $(id -un)" "as root on the host: chown -R $(id -un) $(quoted "$BASE")"
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

# `current` must be absent, or a link to something in releases/. Anything else is the user's and is never touched.
home_current() {
  if [ -L current ]; then
    text=$(readlink current)
    case ${text#"$(pwd -P)/"} in
      releases/*/* | releases/) ;;
      releases/* | ./releases/*) return 0 ;;
    esac
    refuse "current points to $text, which is not in releases/" \
      "adopt it: cd $(quoted "$BASE") && cp -a current/. releases/before-shipit && ln -s releases/before-shipit next && mv -T next current"
    return 1
  elif [ -e current ]; then
    refuse "current is a real directory, not a link" \
      "adopt it: cd $(quoted "$BASE") && mv current releases/before-shipit && ln -s releases/before-shipit current"
    return 1
  fi
}

# A word for a command line that a person will paste.
quoted() { printf "'%s'" "$(printf '%s' "$1" | sed "s/'/'\\\\''/g")"; }
