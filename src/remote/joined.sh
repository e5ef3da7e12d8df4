# How a script begins that belongs to a session: with what all of these share, as the session has put it down.
# Needs BASE TOKEN, and SSH_PATH for path.sh.
# shellcheck shell=sh disable=SC1090

COMMON=$BASE/.shipit/t.$TOKEN/common.sh
if [ ! -r "$COMMON" ]; then
  echo '@why the session on this host is over'
  exit 10
fi
. "$COMMON"
