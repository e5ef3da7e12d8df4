# What a new release can be made of: tells, as `@held TEXT` lines (gzip, base64), the manifest of the live release, `b PATH`
# for each of its files that is not as released, `h SHA256 PATH` for each file in incoming/, then `e`. Only a
# hint: whatever is made of it is verified as a whole. And what of that `status` shows. Only reads. Defines functions; needs
# lib.sh, verify.sh; OLD; `held` fd 8, `held_drift` facts.sh.
# shellcheck shell=sh disable=SC2016,SC2154

# `b PATH` for each file of the live release that is not as released; with $1, also `a PATH` for each that was added to it.
# A name that manifests escape is passed over.
# Only files that were touched since the release got its name are read: no writer can set back a file's ctime. Where find
# can't tell (busybox), all are.
held_changes() (
  added=${1-} manifest=$(pwd -P)/.shipit/manifests/$OLD
  cd "releases/$OLD" || { echo 'b .'; exit; }
  set -- -cnewer "$manifest"
  find . -prune "$@" >/dev/null 2>&1 || set --
  # A touched file is named twice.
  look=$(find . -type f ! -path "*$NL*" -print "$@" -print | ADDED=$added awk '
    side == 1 { path = substr($0, 3); if (path == last) touched[path]; else there[path]; last = path; next }
    /^f / && !/\\/ {
      path = $0; sub(/^f [^ ]* [^ ]* [^ ]* /, "", path)
      if (!(path in there)) print "b " path
      else if (path in touched) print
      delete there[path]
    }
    END { if (ENVIRON["ADDED"] != "") for (path in there) if (path !~ /[\\\t\r]/) print "a " path }' side=1 - side=2 "$manifest")
  [ -n "$look" ] || exit 0
  printf '%s\n' "$look" | grep '^[ab] '
  printf '%s\n' "$look" | grep '^f ' | verify_tree . - | sed 's/^bad /b /'
)

held_release() {
  has_manifest || return 0
  cat ".shipit/manifests/$OLD"
  held_changes
}

has_manifest() { is_release "$OLD" && [ -d "releases/$OLD" ] && [ -f ".shipit/manifests/$OLD" ]; }

# The same for people: `@drift changed|missing|added PATH`, and `@fact drift told` at its end. Bounded.
held_drift() {
  { has_manifest && command -v awk >&2; } || return 0
  held_changes added | head -n 20000 | while IFS= read -r line; do
    path=${line#??}
    case $line in
      a*) word=added ;;
      *) if [ -e "releases/$OLD/$path" ]; then word=changed; else word=missing; fi ;;
    esac
    say "drift $word $path"
  done
  fact drift told
}

# Some sha256sum put a name with a newline over two lines, each of which looks like a name.
held_incoming() {
  [ -d .shipit/incoming ] || return 0
  (cd .shipit/incoming && find . -type f ! -path "*$NL*" -exec sha256sum {} + 2>/dev/null) | sed -n 's|^\([0-9a-f]\{64\}\)  \./|h \1 |p'
}

# A line is at most what a pipe takes in one piece: the session speaks on the same channel.
held() {
  if { command -v awk && command -v base64 && command -v xargs; } >/dev/null; then
    { held_release; held_incoming; echo e; } | gzip -1c | base64 | awk '
      { text = text $0 }
      length(text) > 3000 { print "@held " text; fflush(); text = "" }
      END { print "@held " text }' >&8
  fi
}
