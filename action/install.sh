#!/bin/sh
# Gets shipit for the GitHub Action: one on the PATH, else the release's binary, checked, else built from this checkout.
# Needs ACTION_VERSION (may be empty), ACTION_REPOSITORY (may be empty), GITHUB_ACTION_PATH, GITHUB_SERVER_URL,
# RUNNER_TEMP. Leaves it in RUNNER_TEMP/shipit-action/bin; touches nothing else of the runner.
set -eu

bin=$RUNNER_TEMP/shipit-action/bin
own=$(sed -n 's/^version = "\(.*\)"$/\1/p' "$GITHUB_ACTION_PATH/Cargo.toml" | head -n 1)
wanted=${ACTION_VERSION#v}

die() {
    printf '::error title=shipit::%s\n' "$1"
    exit 1
}

there=$(command -v shipit || :)
if [ -n "$there" ]; then
    has=$(shipit --version)
    if [ -z "$wanted" ] || [ "$has" = "shipit $wanted" ]; then
        echo "$has from $there"
        exit 0
    fi
    echo "$there is $has, not $wanted"
fi
wanted=${wanted:-$own}

# Where a repository's own name is not told, the folder that the runner keeps its actions in has it.
repository=$ACTION_REPOSITORY
case $GITHUB_ACTION_PATH in
*/_actions/*/*/*)
    [ -n "$repository" ] || repository=$(printf '%s\n' "${GITHUB_ACTION_PATH##*/_actions/}" | cut -d / -f 1,2)
    ;;
esac

arch=$(uname -m)
system=$(uname -s | tr '[:upper:]' '[:lower:]')
name=shipit-$system-$arch.tar.gz
from=$GITHUB_SERVER_URL/$repository/releases/download/v$wanted

mkdir -p "$bin"
work=$(mktemp -d "$RUNNER_TEMP/shipit-get.XXXXXX")
trap 'rm -rf "$work"' EXIT

if [ -n "$repository" ] && curl -fsSL --retry 2 --max-time 300 -o "$work/$name" "$from/$name"; then
    curl -fsSL --retry 2 --max-time 60 -o "$work/sum" "$from/$name.sha256" ||
        die "$from/$name has no .sha256 beside it, so it can't be checked and is not used"
    said=$(cut -d ' ' -f 1 "$work/sum")
    if command -v sha256sum >/dev/null; then
        found=$(sha256sum "$work/$name")
    else
        found=$(shasum -a 256 "$work/$name")
    fi
    [ "${found%% *}" = "$said" ] || die "$from/$name has SHA-256 ${found%% *}, and its .sha256 says $said: not used"
    tar -xzf "$work/$name" -C "$bin" shipit
    chmod 755 "$bin/shipit"
    echo "$("$bin/shipit" --version) from $from/$name, SHA-256 $said"
    exit 0
fi

[ "$wanted" = "$own" ] ||
    die "there is no release $wanted of shipit at $from, and this checkout of the action is $own: use the action's tag v$wanted"
command -v cargo >/dev/null ||
    die "there is no $name at $from, and no cargo to build shipit with: install Rust in a step before, or put a shipit on the PATH"
echo "no $name at $from: building shipit $own from the action's checkout"
cargo install --locked --quiet --path "$GITHUB_ACTION_PATH" --root "$RUNNER_TEMP/shipit-action"
