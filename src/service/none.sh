# No service: files that a web server serves. The switch of `current` is all there is. See service/mod.rs for the words.
# shellcheck shell=sh

service_baseline() { :; }
service_prepare() { :; }
service_boot() { :; }
service_activate() { :; }
service_health() {
  printf 'why this host forwards no ports, and without a service there is no node to look from it: set AllowTcpForwarding yes in its sshd_config, or health.from = "here"\n' >&8
  return 1
}
service_watch() { sleep "$(((${1:-0} + 999) / 1000))"; }
service_revert() { :; }
service_commit() { :; }
service_look() { :; }
service_log() { :; }
service_survey() { :; }
