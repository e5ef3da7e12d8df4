# PATH, set once and alike in every script of a run, so that the session, its side channels and a recovery use the same
# tools. A login without a terminal reads no profile: node and pm2 are looked for where version managers put them. Only
# looks at names and reads small files; starts no manager (their shims need the profile, too) and searches no tree.
# Needs HOME, and SSH_PATH: directories that go before all others, with colons between. Sets PATH, NODE_DIRS (all that hold a
# node, in order) and LOOKED (for a message).
# shellcheck shell=sh disable=SC2034

# Whether this directory has this program.
holds() { [ -f "$1/$2" ] && [ -x "$1/$2" ]; }

# One directory that may hold the tools. The first of each kind counts: node, pm2, and both side by side.
place() {
  if holds "$1" pm2 && [ -z "$PM2_DIR" ]; then PM2_DIR=$1; fi
  holds "$1" node || return 0
  NODE_DIRS=${NODE_DIRS:+$NODE_DIRS:}$1
  [ -n "$NODE_DIR" ] || NODE_DIR=$1
  if [ -z "$PAIR_DIR" ] && holds "$1" pm2; then PAIR_DIR=$1; fi
}

# Of the directories in $1 that are named for a version and hold $2/$4, the newest; only those that $3 begins, if any.
pick() {
  PICKED='' newest=-1
  for dir in "$1"/*; do
    v=${dir##*/} v=${v#v}
    case $v in *[!0-9.]* | '' | .* | *. | *..* | 0[0-9]* | *.0[0-9]* | *[0-9][0-9][0-9][0-9][0-9]*) continue ;; esac
    case $v in "$3" | "$3".*) ;; *) [ -z "$3" ] || continue ;; esac
    holds "$dir/$2" "$4" || continue
    minor=0 patch=0
    case $v in *.*) minor=${v#*.} ;; esac
    case $minor in *.*) patch=${minor#*.} minor=${minor%%.*} ;; esac
    rank=$((${v%%.*} * 100000000 + minor * 10000 + ${patch%%.*}))
    if [ "$rank" -gt "$newest" ]; then newest=$rank PICKED=$dir/$2; fi
  done
  [ -n "$PICKED" ]
}

# A manager's versions: the chosen one ($3, in whole or in part), else the newest; and where that has no pm2, the newest
# that has: after an upgrade of node, global packages are still with the one before.
versions() {
  [ -d "$1" ] || return 0
  want=${3#v}
  pick "$1" "$2" "$want" node || pick "$1" "$2" "${want%%.*}" node || pick "$1" "$2" '' node || return 0
  place "$PICKED"
  if ! holds "$PICKED" pm2 && pick "$1" "$2" '' pm2; then place "$PICKED"; fi
}

# The first line of a file, without blanks around it.
first_of() { FIRST=''; [ ! -f "$1" ] || read -r FIRST _ <"$1" 2>/dev/null || :; }

# The word after key $2 in a settings file whose words stand between the characters of $3.
value_of() {
  VALUE=''
  [ -f "$1" ] || return 0
  set -f
  while IFS= read -r line || [ -n "$line" ]; do
    key=''
    IFS=$3
    for word in $line; do
      case $word in
        '' | version) continue ;;
        "$2") [ -z "$key" ] || VALUE=$word; key=$2 ;;
        *) VALUE=${key:+$word} ;;
      esac
      if [ -n "$VALUE" ] || [ -z "$key" ]; then break; fi
    done
    IFS=$IFS_WAS
    [ -z "$VALUE" ] || break
  done <"$1"
  set +f
}
IFS_WAS=$IFS
# Blanks, quotes and what JSON and TOML put between words.
SIGNS=" $(printf '\t')\"'=:,[]{}"

# nvm names its default in words that lead on: `lts/*` to `lts/iron` to `v20.19.0`, each a file below alias/.
nvm() {
  [ -d "$1/versions/node" ] || return 0
  FIRST=default
  for turn in 1 2 3 4 5; do
    [ -f "$1/alias/$FIRST" ] || break
    first_of "$1/alias/$FIRST"
  done
  case $FIRST in [0-9]* | v[0-9]*) ;; *) FIRST='' ;; esac
  versions "$1/versions/node" bin "$FIRST"
}

fnm() {
  place "$1/aliases/default/bin"
  versions "$1/node-versions" installation/bin ''
}

volta() {
  value_of "$1/tools/user/platform.json" runtime "$SIGNS"
  versions "$1/tools/image/node" bin "$VALUE"
  place "$1/tools/image/packages/pm2/bin"
  place "$1/bin"
}

asdf() {
  value_of "$H/.tool-versions" nodejs "$SIGNS"
  versions "$1/installs/nodejs" bin "$VALUE"
}

mise() {
  VALUE=''
  for file in "$H/.config/mise/config.toml" "$H/.mise.toml" "$H/mise.toml"; do
    [ -n "$VALUE" ] || value_of "$file" node "$SIGNS"
  done
  for name in nodejs node; do [ -n "$VALUE" ] || value_of "$H/.tool-versions" "$name" "$SIGNS"; done
  # `lts` and `latest` are links beside the versions.
  [ -z "$VALUE" ] || place "$1/installs/node/$VALUE/bin"
  versions "$1/installs/node" bin "$VALUE"
  place "$1/installs/npm-pm2/latest/bin"
}

LOOKED='the places of nvm, fnm, volta, asdf, mise, nodenv, n, npm (its prefix), pnpm, yarn and bun below the home, ~/.local/bin, /usr/local, /opt and /snap/bin'

places() {
  for dir in "$H/.nvm" "$H/.config/nvm"; do nvm "$dir"; done
  for dir in "$H/.local/share/fnm" "$H/.fnm"; do fnm "$dir"; done
  volta "$H/.volta"
  asdf "$H/.asdf"
  mise "$H/.local/share/mise"
  first_of "$H/.nodenv/version"
  versions "$H/.nodenv/versions" bin "$FIRST"
  value_of "$H/.npmrc" prefix " =\""
  case $VALUE in
    \~/*) place "$H/${VALUE#??}/bin" ;;
    "\${HOME}/"*) place "$H/${VALUE#*/}/bin" ;;
    /*) place "$VALUE/bin" ;;
  esac
  for dir in n .n .npm-global .npm-packages .local .yarn .bun .local/share/pnpm; do place "$H/$dir/bin"; done
  place "$H/.local/share/pnpm"
  for dir in /usr/local/nvm /usr/local/share/nvm /opt/nvm; do nvm "$dir"; done
  for dir in /usr/local/bin /usr/local/node/bin /usr/local/nodejs/bin /usr/local/lib/nodejs/*/bin /opt/node*/bin /opt/pm2/bin /snap/bin; do
    place "$dir"
  done
}

# What PATH has is taken as it is. Else a directory with both goes before it, so that pm2 is run by the node that it
# was installed with; else each is added behind it.
set_path() {
  NODE_DIR='' PM2_DIR='' PAIR_DIR='' NODE_DIRS='' front='' rest=$PATH
  set -f
  IFS=:
  for dir in $SSH_PATH; do
    case $dir in \~/*) dir=$H/${dir#??} ;; esac
    front=$front$dir:
  done
  # A script that is started by another one has it already.
  [ -z "$front" ] || rest=${rest#"$front"}
  for dir in $front$rest; do
    case $dir in /*) IFS=$IFS_WAS; place "$dir" ;; esac
  done
  set +f
  IFS=$IFS_WAS
  has_node=$NODE_DIR has_pm2=$PM2_DIR PAIR_DIR=''
  places
  if [ -n "$has_node" ] && [ -n "$has_pm2" ]; then :
  elif [ -n "$PAIR_DIR" ]; then rest=$PAIR_DIR:$rest
  else
    for dir in "${has_node:-$NODE_DIR}" "${has_pm2:-$PM2_DIR}"; do
      case :$front$rest: in *":$dir:"*) ;; *) rest=$rest${dir:+:$dir} ;; esac
    done
  fi
  PATH=$front$rest
  export PATH
}
H=${HOME:-/}
set_path
