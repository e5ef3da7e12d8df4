#!/bin/bash
# The peer: a hand-written deploy with rsync, as good as it gets. Files that rsync takes for unchanged become links to
# the live release's, `current` is replaced by a rename, old releases go; all over one connection.
# usage: rsync.sh deploy|rollback SSH_CONFIG ARTIFACT PATH KEEP
set -euo pipefail
verb=$1 config=$2 artifact=$3 path=$4 keep=$5

socket=$(mktemp -u)
ssh="ssh -F $config -o ControlMaster=auto -o ControlPersist=30 -o ControlPath=$socket"
trap '$ssh -O exit host 2>/dev/null' EXIT

if [ "$verb" = rollback ]; then
    $ssh host "cd $path && before=\$(ls releases | tail -n 2 | head -n 1) &&
        ln -s releases/\$before next && mv -T next current"
    exit
fi
release=$(date -u +%Y%m%d%H%M%S%N)
$ssh host "mkdir -p $path/releases"
rsync -az --delete --link-dest=../../current/ -e "$ssh" "$artifact/" "host:$path/releases/$release/"
$ssh host "cd $path && ln -s releases/$release next && mv -T next current &&
    cd releases && ls | head -n -$keep | xargs -r rm -rf"
