# The switch of a run that has no proxy: `current` names the new release, and the service follows in its own place.
# Another way (blue-green) has a file of its own with the same words:
#
#   switch_known      learns what the baseline found, in every later job
#   switch_baseline   what is live, before anything is changed; refuses what a run would break
#   switch_forward    makes the release of this run the live one, and proves it
#   switch_back       by state: what was live before is live again, and not worse than it was
#   switch_commit     what is left to be done once it is final; must not fail a run
#   switch_look       the processes, for `status`
#   switch_survey     what switch_baseline would find, and the processes; writes nothing
#
# Defines functions; needs lib.sh, a service's functions; T NEW OLD, fd 8 for answers.
# shellcheck shell=sh disable=SC2154

# Whose colours these are would be served on by a proxy that nobody tells of the new release.
switch_coloured() {
  for c in blue green; do
    [ -L "colours/$c" ] || continue
    printf 'refuse %s\n' "colours/$c is there: this app is run blue-green, and deploy.toml has no proxy${TAB}put [proxy.nginx] or [proxy.caddy] back; or, to give blue-green up, lead your web server elsewhere, stop the colours' processes and remove colours/ and .shipit/proxy" >&8
    return 1
  done
}

switch_known() { :; }
switch_baseline() { switch_coloured && service_baseline; }

switch_forward() {
  swap_forward || why "current can't be switched" || return 1
  # Who stopped us between the last look and the switch has put back a link that was not yet there to put back.
  [ ! -e "$T/stop" ] || return 2
  (sync_one .) &
  switched=$!
  service_activate
  code=$?
  wait "$switched"
  return "$code"
}

switch_back() {
  swap_back || why "current can't be put back" || return 1
  service_revert
}

switch_commit() { service_commit; }
switch_look() { service_look; }
switch_survey() { switch_coloured && service_survey; }
