#!/bin/bash
# The peer: the plainest deploy there is, a compressed archive through ssh and a link that is replaced by a rename.
# usage: tar.sh deploy|rollback SSH_CONFIG ARTIFACT PATH KEEP
set -euo pipefail
verb=$1 config=$2 artifact=$3 path=$4 keep=$5

if [ "$verb" = rollback ]; then
    exec ssh -F "$config" host "cd $path && before=\$(ls releases | tail -n 2 | head -n 1) &&
        ln -s releases/\$before next && mv -T next current"
fi
release=$(date -u +%Y%m%d%H%M%S%N)
tar -C "$artifact" -czf - . | ssh -F "$config" host "mkdir -p $path/releases/$release &&
    tar -xzf - -C $path/releases/$release"
ssh -F "$config" host "cd $path && ln -s releases/$release next && mv -T next current &&
    cd releases && ls | head -n -$keep | xargs -r rm -rf"
