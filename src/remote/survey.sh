# What only `check` asks of a host, as `@fact KEY VALUE` and `@refuse`: the home's owner, what is shared, the shell, the
# login manager, the service before a deploy. Only reads, and asks no tool that writes.
# Defines functions; needs lib.sh lock.sh home.sh facts.sh a service's functions, switch.sh or another way; BASE SHARED_DIRS.
# shellcheck shell=sh disable=SC2034,SC2154

# Inside the home. `leads` is whether `current` is what a deploy can take over.
survey_home() {
  # shellcheck disable=SC2012 # stat has no common form; the owner is the third word
  fact owner "$(ls -ld . | { read -r _ _ owner _; echo "$owner"; })"
  home_writable && fact writable yes
  if [ "$leads" = yes ]; then
    if [ -L current ]; then fact current_is link; else fact current_is absent; fi
  fi
  printf '%s\n' "$SHARED_DIRS" | {
    absent=''
    while IFS= read -r d; do
      [ -z "$d" ] || [ -d "shared/$d" ] || absent="${absent:+$absent, }$d"
    done
    fact absent_dirs "$absent"
  }
  for j in pending committed; do
    if [ -L ".shipit/$j" ] && stuck=$(leftover_stuck "$j"); then
      refuse "an earlier run could not be put right: ${stuck%%; *}" "${stuck#*; }"
    fi
  done
}

survey_host() {
  # A run sets the umask by the home's mode; before there is one, this is what it will be made with.
  if [ -n "${leads-}" ]; then home_modes; else umask 022; fi
  fact umask "$(umask)"
  fact shell "$(readlink -f "/proc/$$/exe" 2>/dev/null || command -v sh)"
  fact path "$PATH"
  survey_login
}

# Whether the login manager ends a user's processes with the login.
survey_login() {
  [ -d /run/systemd/seats ] || return 0
  me=$(id -un)
  kills=$(login_setting KillUserProcesses)
  only=$(login_setting KillOnlyUsers)
  spared=$(login_setting KillExcludeUsers)
  case " ${spared:-root} " in *" $me "*) kills=no ;; esac
  case " ${only:-$me} " in *" $me "*) ;; *) kills=no ;; esac
  case $kills in 1 | [Yy]es | [Tt]rue | [Oo]n) fact kills yes ;; *) fact kills no ;; esac
  if [ -e "/var/lib/systemd/linger/$me" ]; then fact linger yes; fi
}

# What logind itself says; where it can't be asked, what its files say last. Drop-ins come after the main files.
login_setting() {
  if text=$(timeout 5 busctl --no-pager get-property org.freedesktop.login1 /org/freedesktop/login1 org.freedesktop.login1.Manager "$1" 2>/dev/null); then
    # `b true`, or `as 2 "root" "deploy"`
    printf '%s\n' "$text" | sed 's/^b //; s/^as [0-9]* *//; s/"//g'
    return 0
  fi
  for file in /usr/lib/systemd/logind.conf /etc/systemd/logind.conf /etc/elogind/logind.conf /usr/lib/systemd/logind.conf.d/*.conf /run/systemd/logind.conf.d/*.conf /etc/systemd/logind.conf.d/*.conf; do
    [ ! -r "$file" ] || sed -n "s/^[[:space:]]*$1[[:space:]]*=[[:space:]]*//p" "$file"
  done | tail -n 1
}

# The same look as a run's own at its start, without its notes.
survey_service() {
  T='' NEW='' OLD=''
  if [ -L current ] && [ "${leads-}" = yes ]; then link_name current; OLD=$LINK; fi
  { switch_survey; echo "ended $?"; } 3>&- 8>&1 | facts_service
}
