# nginx: an upstream block with the colours' weights, which the user's config includes in its http block. See proxy/mod.rs.
# Needs lib.sh; BASE T UPSTREAM BLUE_PORT GREEN_PORT.
# shellcheck shell=sh disable=SC2154

proxy_file() { echo .shipit/proxy/upstream.conf; }

proxy_server() {
  case $2 in
    0) printf '    server 127.0.0.1:%s down;\n' "$1" ;;
    *) printf '    server 127.0.0.1:%s weight=%s;\n' "$1" "$2" ;;
  esac
}

# The connections that are kept open are as many for each process of nginx.
proxy_render() {
  printf '# Written by shipit at every switch. Weights: blue %s, green %s.\nupstream %s {\n' "$1" "$2" "$UPSTREAM"
  proxy_server "$BLUE_PORT" "$1"
  proxy_server "$GREEN_PORT" "$2"
  printf '    keepalive 16;\n}\n'
}

proxy_suits() { :; }

# A dump names each file that it comes from; where a line prints none, nothing can be told.
proxy_shows() {
  grep -q '^# configuration file ' "$1" || return 0
  file=$(pwd -P)/$(proxy_file)
  if ! grep -q "^# configuration file .*/$(proxy_file):\$" "$1"; then
    echo "nginx does not include $file: add this line to its http block: include $file;"
  elif [ "$(grep -v '^#' "$1" | grep -cw "$UPSTREAM")" -lt 2 ]; then
    echo "no server of nginx leads to the upstream $UPSTREAM: write proxy_pass http://$UPSTREAM; into its location"
  fi
}

# Where nginx notes its process: other ones may run beside it, which nobody reloads here.
proxy_learn() {
  file=$(sed -n 's/^[[:blank:]]*pid[[:blank:]]\{1,\}\([^;[:blank:]]*\).*;.*/\1/p' "$1" | tail -n 1)
  printf '%s\n' "${file:-/run/nginx.pid}"
}

# Each worker process that takes requests, PID:PARENT, of the one that was learned; of all where its note can't be read.
proxy_workers() {
  master=''
  { read -r noted <"$T/proxy.at" && read -r master <"$noted"; } 2>/dev/null
  for p in /proc/[0-9]*; do
    { IFS= read -r title <"$p/cmdline"; } 2>/dev/null
    case $title in "nginx: worker process") ;; *) continue ;; esac
    after=$(sed 's/.*) //' "$p/stat" 2>/dev/null) || continue
    # State, then the parent.
    after=${after#* }
    parent=${after%% *}
    [ "${master:-$parent}" != "$parent" ] || printf '%s:%s ' "${p#/proc/}" "$parent"
  done
}

# Kept in memory: on the way back a full disk takes no note.
proxy_before() { BEFORE=$(proxy_workers); }

# The reload line only sends a signal: it is over once a new process works and none of its master's older ones does.
proxy_taken() {
  [ -n "$BEFORE" ] || { note "not provable here: nginx's processes are not seen"; sleep 2; return 0; }
  left=100
  while [ "$left" -gt 0 ]; do
    new='' old=''
    for worker in $(proxy_workers); do
      case " $BEFORE" in *" $worker "*) old="$old$worker " ;; *) new=$worker ;; esac
    done
    case "${new:-none} $old" in
      none*) ;;
      *":${new##*:} "*":${new##*:} "*) ;;
      *) return 0 ;;
    esac
    left=$((left - 1))
    sleep 0.1 2>/dev/null || { sleep 1; left=$((left - 9)); }
  done
  why "nginx was told to reload and went on as before: see its error log"
}
