#!/bin/sh
# Becomes shipit for the GitHub Action: writes key and host keys where only this user can read them, and execs, so that
# the runner's signals reach shipit itself. Needs the ACTION_* variables of action.yml and RUNNER_TEMP. What it writes is
# removed by remove-key.sh, which action.yml runs whatever happens here.
set -eu
umask 077

here=$RUNNER_TEMP/shipit-action
mkdir -p "$here"
PATH=$here/bin:$PATH

die() {
    printf '::error title=shipit::%s\n' "$1"
    exit 2
}

if [ -n "$ACTION_SSH_KEY" ]; then
    rm -f "$here/key"
    # A key that went through a form may have lost its last line end, or got carriage returns.
    printf '%s\n' "$ACTION_SSH_KEY" | tr -d '\r' >"$here/key"
    ssh-keygen -y -P '' -f "$here/key" >/dev/null 2>&1 ||
        die 'ssh-key is no private key that ssh can use: paste the whole file, from BEGIN to END; it must have no passphrase'
    SHIPIT_IDENTITY_FILE=$here/key
    export SHIPIT_IDENTITY_FILE
fi

# Set but empty means: there are none. shipit then refuses every host but "local", unless the config names a file.
SHIPIT_KNOWN_HOSTS=
if [ -n "$ACTION_KNOWN_HOSTS" ]; then
    printf '%s\n' "$ACTION_KNOWN_HOSTS" | tr -d '\r' >"$here/known_hosts"
    SHIPIT_KNOWN_HOSTS=$here/known_hosts
fi
export SHIPIT_KNOWN_HOSTS

[ -n "$ACTION_COMMAND" ] || die 'command is empty'
set -f
# Split at blanks on purpose: a command may bring options.
# shellcheck disable=SC2086
set -- $ACTION_COMMAND
[ -z "$ACTION_STAGE" ] || set -- "$@" "$ACTION_STAGE"
if [ -n "$ACTION_RELEASE" ]; then
    [ "$1" = rollback ] || die "release is given, which is for the command rollback, not for $1"
    set -- "$@" "$ACTION_RELEASE"
fi
[ -z "$ACTION_CONFIG" ] || set -- "$@" --config "$ACTION_CONFIG"

# The build is a child of shipit, and the key is none of its business.
unset ACTION_SSH_KEY ACTION_KNOWN_HOSTS
exec shipit "$@"
