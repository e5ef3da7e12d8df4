# No service: files that a web server serves. The switch of `current` is all there is. See service/mod.rs for the words.
# shellcheck shell=sh

service_baseline() { :; }
service_prepare() { :; }
service_boot() { :; }
service_activate() { :; }
service_watch() { sleep "$(((${1:-0} + 999) / 1000))"; }
service_revert() { :; }
service_commit() { :; }
service_look() { :; }
service_log() { :; }
