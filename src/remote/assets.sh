# Assets that stay: what pages ask for by a name made of its content, below the folders ASSETS. A release keeps those of the
# live one, its own and those that it keeps itself, for ASSETS_KEEP releases after the last one whose own they were: so
# that a page which is open finds what it has not yet loaded. Nothing is overwritten; what is not as it was released is
# left behind. `.shipit/assets/ID` has a line `AGE PATH` for each file that release ID keeps: its own manifest has those, too.
# Defines functions; needs lib.sh, verify.sh, reuse.sh; T NEW ASSETS (one a line, as a manifest writes it) ASSETS_KEEP
# ASSETS_LINK (empty: copies only).
# shellcheck shell=sh disable=SC2016,SC2034,SC2153,SC2154

# What of the folders in TREE no manifest need tell of, one path a line: all but directories, and links above them.
assets_there() {
  cd "$TREE" && printf '%s\n' "$ASSETS" | while IFS= read -r folder; do
    [ -n "$folder" ] || continue
    find "./$folder" ! -type d 2>/dev/null
    while [ -n "$folder" ]; do
      [ ! -L "$folder" ] || printf './%s\n' "$folder"
      case $folder in */*) folder=${folder%/*} ;; *) folder= ;; esac
    done
  done
}

# Decides, from the manifest $1 of the new release, the live one's, and what that keeps. Lists: kept (AGE and the manifest's
# line), made (lines of the folders they need), and one path a line: dirs, mode.MODE of those, same, link.MODE.
assets_lists() {
  had=.shipit/assets/$FROM
  [ -f "$had" ] || had=/dev/null
  ASSETS=$ASSETS awk -v at="$lists/" -v keep="$ASSETS_KEEP" -v link="$ASSETS_LINK" '
    function path(line) { sub(/^[a-z] [^ ]* [^ ]* [^ ]* /, "", line); sub(/\t.*/, "", line); return line }
    BEGIN { folders = split(ENVIRON["ASSETS"], folder, "\n") }
    side == 1 { age[substr($0, index($0, " ") + 1)] = $1; next }
    side == 2 {
      p = path($0)
      what[p] = $1
      if (p == ".release.json") mode = $2
      if ($1 == "d" && dir_mode == "") dir_mode = $2
      next
    }
    side == 3 { if (!(substr($0, 3) in what)) what[substr($0, 3)] = "other"; next }
    !/^f / || /\\/ { next }
    {
      p = path($0)
      if (p in what || p ~ /(^|\/)\.\.?(\/|$)/) next
      inside = 0
      for (i = 1; i <= folders; i++) if (folder[i] != "" && index(p, folder[i] "/") == 1) inside = 1
      if (!inside || age[p] + 1 > keep) next
      for (up = p; sub(/\/[^\/]*$/, "", up);) if (up in what && what[up] != "d") next
      if (dir_mode == "") dir_mode = mode ~ /4$/ ? "0755" : "0750"
      for (up = p; sub(/\/[^\/]*$/, "", up) && !(up in what);) {
        what[up] = "d"
        print "d " dir_mode " - - " up >(at "made")
        print "./" up >(at "dirs")
        print "./" up >(at "mode." dir_mode)
      }
      print age[p] + 1, "f", mode, $3, $4, p >(at "kept")
      print "./" p >(at (link != "" && $2 == mode ? "link." mode : "same"))
    }' side=1 "$had" side=2 "$1" side=3 "$lists/there" side=4 ".shipit/manifests/$FROM"
}

# Takes what is not as it was released off the list, and out of the tree again; the rest: mine, mode.MODE, one path a line.
assets_proved() {
  sed 's/^[0-9]* //' "$lists/kept" | verify_tree "$TREE" - | sed -n 's/^bad //p' >"$lists/bad"
  true >"$lists/drop" && true >"$lists/mine" && awk -v at="$lists/" '
    side == 1 { bad[$0]; next }
    { p = $0; sub(/^[^ ]* f [^ ]* [^ ]* [^ ]* /, "", p) }
    ("." in bad) || (p in bad) { print "./" p >(at "drop"); next }
    { print; print "./" p >(at "mine"); print "./" p >(at "mode." $3) }' side=1 "$lists/bad" side=2 "$lists/kept" >"$lists/good" &&
    (cd "$TREE" && each_of "$lists/drop" rm -f) && mv "$lists/good" "$lists/kept"
}

# The manifest $1 with the lines that were added, in its order: by the bytes of names, as they are without escapes.
assets_manifest() {
  true >>"$lists/made" && { cat "$lists/made" && sed 's/^[0-9]* //' "$lists/kept"; } | sort -t ' ' -k 5 >"$lists/more" &&
    awk '
    function name(line,  out, at, byte) {
      sub(/^[a-z] [^ ]* [^ ]* [^ ]* /, "", line); sub(/\t.*/, "", line)
      for (out = ""; (at = index(line, "\\")) > 0;) {
        out = out substr(line, 1, at - 1)
        byte = substr(line, at + 2, 3)
        if (substr(line, at + 1, 1) == "\\") { out = out "\\"; line = substr(line, at + 2) }
        else { out = out (byte == "011" ? "\t" : byte == "012" ? "\n" : "\r"); line = substr(line, at + 5) }
      }
      return out line
    }
    side == 1 { more[++all] = $0; next }
    { for (own = name($0); at < all && name(more[at + 1]) "" < own "";) print more[++at]; print }
    END { while (at < all) print more[++at] }' side=1 "$lists/more" side=2 "$1" >"$lists/manifest" &&
    touch -r "$1" "$lists/manifest"
}

# What was made here is whose the tree is.
assets_owned() {
  for list in "$lists/dirs" "$lists/mine"; do
    each_of "$list" sh -c '
      owner=$0 group=$1; shift
      find "$@" -prune \( ! -user "$owner" -o ! -group "$group" \) -exec chown "$owner:$group" {} +' "$owner" "$group" || [ "$owner" != 0 ] || return 1
  done
}

# assets_keep TREE MANIFEST LIST: the live release's into TREE; `manifest` and `list` are what its own (the list need not be
# there) become then, `amount` says how much that was. All three are absolute. A manifest keeps its time: by that is told
# what was touched since.
assets_keep() (
  link_name current
  TREE=$1 FROM=$LINK lists=$(pwd -P)/$T/assets
  rm -rf "$lists"
  { is_release "$FROM" && [ "$FROM" != "$NEW" ] && [ -f ".shipit/manifests/$FROM" ]; } || exit 0
  if ! { command -v awk && command -v xargs && mkdir "$lists" && (assets_there) >"$lists/there" && assets_lists "$2"; } >/dev/null; then
    say "note the assets of earlier releases are not kept: this host can't tell which they are"
    exit 0
  fi
  [ -s "$lists/kept" ] || exit 0
  (cd "$TREE" && each_of "$lists/dirs" mkdir -p) || exit 1
  reuse_way "$2" "$lists/way"
  reuse_owner
  # What can't be linked is copied, and what can't be copied is not kept.
  reuse_links "$owner" "$group"
  reuse_same
  assets_proved && (cd "$TREE" && assets_owned && reuse_modes) && assets_manifest "$2" || exit 1
  { [ ! -f "$3" ] || cat "$3"; sed 's/ f [^ ]* [^ ]* [^ ]* / /' "$lists/kept"; } >"$lists/list" &&
    awk '{ files++; bytes += $4 } END { printf "%d %.0f\n", files, bytes }' "$lists/kept" >"$lists/amount"
)

# assets_named MANIFEST LIST: what assets_keep made takes their place.
assets_named() {
  [ ! -s "$T/assets/amount" ] || { mv "$T/assets/list" "$2" && mv "$T/assets/manifest" "$1"; }
}

# The same, into a release that lies here already.
assets_bring() {
  mkdir -p .shipit/assets && assets_keep "$1/releases/$NEW" "$1/.shipit/manifests/$NEW" "$1/.shipit/assets/$NEW" || return 1
  [ ! -s "$T/assets/amount" ] || sync_all .shipit
  assets_named ".shipit/manifests/$NEW" ".shipit/assets/$NEW"
}

# How much was kept, as `@assets FILES BYTES` and into ASSETS_TOLD for the record.
assets_say() {
  [ -s "$T/assets/amount" ] && read -r files bytes <"$T/assets/amount" && [ "$files" != 0 ] || return 0
  say "assets $files $bytes"
  ASSETS_TOLD=",\"assets\":{\"files\":$files,\"bytes\":$bytes}"
}
