#!/bin/sh
# Removes what run.sh wrote for ssh; run whether shipit succeeded, failed or was cancelled. Needs RUNNER_TEMP.
set -eu
rm -f "$RUNNER_TEMP/shipit-action/key" "$RUNNER_TEMP/shipit-action/known_hosts"
