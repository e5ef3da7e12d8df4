# What a new release can be made of: tells, as `@held TEXT` lines (gzip, base64), the manifest of the live release, `b PATH`
# for each of its files that is not as released, `h SHA256 PATH` for each file in incoming/, then `e`. Only a
# hint: whatever is made of it is verified as a whole. Only reads. Defines functions; needs lib.sh, verify.sh; T OLD, fd 8.
# shellcheck shell=sh disable=SC2016,SC2154

# Only files that were touched since the release got its name are read: no writer can set back a file's ctime. Where find
# can't tell (busybox), all are.
held_release() {
  manifest=$(pwd -P)/.shipit/manifests/$OLD
  is_release "$OLD" && [ -d "releases/$OLD" ] && [ -f "$manifest" ] || return 0
  cat "$manifest"
  look=$(pwd -P)/$T/look
  (
    cd "releases/$OLD" || { echo 'b .'; exit; }
    if find . -prune -cnewer "$manifest" >/dev/null 2>&1; then
      find . -type f -print -cnewer "$manifest" -print | LOOK=$look awk '
        side == 1 { path = substr($0, 3); if (path == last) touched[path]; else there[path]; last = path; next }
        /^f / && !/\\/ {
          path = $0; sub(/^f [^ ]* [^ ]* [^ ]* /, "", path)
          if (!(path in there)) print "b " path
          else if (path in touched) print >ENVIRON["LOOK"]
        }' side=1 - side=2 "$manifest"
    else grep '^f ' "$manifest" >"$look"
    fi
    [ ! -s "$look" ] || verify_tree . "$look" | sed 's/^bad /b /'
  )
}

held_incoming() {
  [ -d .shipit/incoming ] || return 0
  (cd .shipit/incoming && find . -type f -exec sha256sum {} + 2>/dev/null) | sed -n 's|^\([0-9a-f]\{64\}\)  \./|h \1 |p'
}

# A line is at most what a pipe takes in one piece: the session speaks on the same channel.
held() {
  if { command -v awk && command -v base64 && command -v xargs; } >&2; then
    { held_release; held_incoming; echo e; } | gzip -1c | base64 | awk '
      { text = text $0 }
      length(text) > 3000 { print "@held " text; fflush(); text = "" }
      END { print "@held " text }' >&8
  fi
}
