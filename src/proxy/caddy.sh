# Caddy: a snippet with the colours' addresses, for the inside of a reverse_proxy block. See proxy/mod.rs.
# Needs lib.sh; BASE T UPSTREAM BLUE_PORT GREEN_PORT WEIGHTS.
# shellcheck shell=sh disable=SC2154

proxy_file() { echo .shipit/proxy/upstream.caddy; }

proxy_render() {
  printf '# Written by shipit at every switch. Weights: blue %s, green %s.\n(%s) {\n' "$1" "$2" "$UPSTREAM"
  case $1-$2 in
    0-0) printf '\tto 127.0.0.1:%s 127.0.0.1:%s\n' "$BLUE_PORT" "$GREEN_PORT" ;;
    *-0) printf '\tto 127.0.0.1:%s\n' "$BLUE_PORT" ;;
    0-*) printf '\tto 127.0.0.1:%s\n' "$GREEN_PORT" ;;
    *) printf '\tto 127.0.0.1:%s 127.0.0.1:%s\n\tlb_policy weighted_round_robin %s %s\n' "$BLUE_PORT" "$GREEN_PORT" "$1" "$2" ;;
  esac
  printf '}\n'
}

# At a reload Caddy opens its sockets anew and closes the old ones. Whoever waits there to be accepted is reset, unless the
# kernel hands them over to the new one: Linux can since 5.14, and does where it is told to.
caddy_hands_over() {
  file=/proc/sys/net/ipv4/tcp_migrate_req
  hands_over=$(cat $file 2>/dev/null)
  [ "$hands_over" != 1 ] || return 0
  if [ -e $file ]; then cure='as root on the host: sysctl -w net.ipv4.tcp_migrate_req=1, and net.ipv4.tcp_migrate_req=1 in a file of /etc/sysctl.d'
  else cure='that takes Linux 5.14 and net.ipv4.tcp_migrate_req=1; [proxy.nginx] loses none'; fi
  printf 'warn a reload of Caddy may reset connections that wait to be accepted, for the kernel does not hand them over; %s\n' "$cure" >&8
}

# Weights came with 2.7.
proxy_suits() {
  caddy_hands_over
  [ -n "$WEIGHTS" ] || return 0
  version=$(timeout 10 caddy version 2>/dev/null </dev/null) version=${version%% *} version=${version#v}
  case $version in
    2.[0-6] | 2.[0-6].* | [01].*)
      printf 'refuse shift needs weights, which Caddy has since 2.7; this host has %s\tremove shift from [proxy.caddy], the whole switch works; or install a newer Caddy\n' "$version" >&8
      return 1 ;;
  esac
}

# What `caddy adapt` prints names every address that requests are led to.
proxy_shows() {
  grep -q '"apps"' "$1" || return 0
  grep -q "\"dial\": *\"127\.0\.0\.1:\($BLUE_PORT\|$GREEN_PORT\)\"" "$1" ||
    echo "no site of Caddy leads to the colours: import $(pwd -P)/$(proxy_file) at its top, and in the site: reverse_proxy { import $UPSTREAM }"
}

# Its admin address stands in its reload line.
proxy_learn() { :; }
proxy_before() { :; }
# Its reload line ends once the config is in use.
proxy_taken() { :; }
