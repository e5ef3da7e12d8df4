# start, stop and status of the server, by a pid file in the shared folder. `start` leaves it running in a session of its
# own (setsid) with its output in a file: what still belonged to the line would end with it.
set -u
running() { [ -s data/pid ] && kill -0 "$(cat data/pid)" 2>/dev/null; }
stop() {
  running || return 0
  kill "$(cat data/pid)"
  for _ in 1 2 3 4 5; do running || return 0; sleep 1; done
  return 1
}
case $1 in
  start) stop && { setsid node server.mjs </dev/null >>data/log 2>&1 & echo $! >data/pid; } ;;
  stop) stop ;;
  # What it says when it does not run is shown with the failure.
  status) running || { tail -n 15 data/log; exit 1; } ;;
esac
