# PM2: JSON and worker-by-worker checks don't belong in sh, so each word is handed to a program that the host's own
# node runs, with a clean environment: what stands in ours would be copied into the app by PM2.
# Its standard output is ours (fd 8): lines `note`, `why`, `log`, `fact`, `refuse`, `worker`. See service/mod.rs.
# Needs path.sh; BASE T NEW OLD.
# shellcheck shell=sh disable=SC2154

TOOLS_CURE='install it on the host; or, where it is on the PATH of your own login, name its directory: path = ["..."] in [ssh] of deploy.toml'

pm2_run() {
  (
    # Before the first deploy there is no home to stand in.
    cd "$BASE" 2>/dev/null || cd / || exit 1
    exec env -i "PATH=$PATH" "HOME=$HOME" "USER=$(id -un)" "LOGNAME=$(id -un)" "LANG=${LANG:-C.UTF-8}" \
      "SHIPIT_NODES=$NODE_DIRS" "SHIPIT_LOOKED=$LOOKED" "SHIPIT_BASE=$BASE" "SHIPIT_DIR=$BASE/$T" "SHIPIT_NEW=$NEW" "SHIPIT_OLD=$OLD" SHIPIT_MARK= \
      "SHIPIT_COLOUR=${COLOUR-}" "SHIPIT_PORT=${COLOUR_PORT-}" "SHIPIT_IDLE=${IDLE-}" \
      ${PM2_HOME+"PM2_HOME=$PM2_HOME"} node "$@" >&8 8>&-
  )
}

service_word() { pm2_run "$BASE/$T/service.cjs" "$@" </dev/null; }

# Whether there is a node; says so where there is none, and where to name it.
pm2_node() {
  command -v node >/dev/null 2>&1 && return
  printf 'refuse there is no node on PATH (%s), nor in %s\t%s\n' "$PATH" "$LOOKED" "$TOOLS_CURE" >&8
  return 1
}

service_baseline() {
  pm2_node || return
  service_word facts && service_word baseline && return
  error=$(node --version 2>&1 </dev/null) && return 1
  printf 'refuse %s does not run: %s\t%s\n' "$(command -v node)" "$(plain "$error")" "$TOOLS_CURE" >&8
  return 1
}
service_prepare() { service_word prepare; }
service_boot() { service_word boot; }
service_activate() { service_word activate; }
service_health() { service_word health; }
service_watch() { service_word watch "$1"; }
service_revert() { service_word revert; }
service_commit() { service_word commit; }
service_log() { service_word log; }
service_free() { if [ -n "$T" ]; then service_word free; else pm2_told free; fi; }
service_save() { service_word save; }
service_stop() { service_word stop; }
service_resume() { service_word resume; }

# Without a session there is no directory of ours to put the program in: node reads it from its input.
service_look() {
  pm2_node && printf '%s' "$PROGRAM" | pm2_run - status "$NAMES"
}

service_survey() { pm2_told survey "$NAMES"; }

# A look without a session: the settings come with the program, for they may hold what no command line may show.
pm2_told() {
  pm2_node || return
  {
    printf "'use strict';globalThis.SHIPIT_SETTINGS=%s;\n" "$SETTINGS"
    printf '%s' "$PROGRAM"
  } | pm2_run - "$@"
}
