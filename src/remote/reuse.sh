# Completes a release of which only a part was sent: its manifest out of the old one and the lines that came (`delta`), its
# other files out of the live release and incoming/. Whatever goes wrong here is found out when all is verified. A file of
# the live release is never changed: what becomes one with it has its mode, owner and group already.
# Defines functions; needs lib.sh, verify.sh; STAGE MANIFEST_SHA GROUP_NAME FROM (the live release; empty: none).
# shellcheck shell=sh disable=SC2016,SC2154

# Lists, one path a line, for the work that follows: dirs, same, link.MODE, moved and left (FROM<TAB>TO), mode.MODE.
reuse_lists() {
  old=/dev/null
  [ -z "$FROM" ] || old=.shipit/manifests/$FROM
  true >"$STAGE/manifest" && LC_ALL=C awk -v old="$old" -v at="$STAGE/" '
    function path(line) { sub(/^[a-z] [^ ]* [^ ]* [^ ]* /, "", line); return line }
    function mode(line) { sub(/^[a-z] /, "", line); sub(/ .*/, "", line); if (line !~ /^[0-7]+$/) exit 3; return line }
    function next_old() { if ((getline old_line < old) < 1) exit 3 }
    /^[kK] / {
      link = /^K/
      for (n = $2; n > 0; n--) {
        next_old()
        print old_line >(at "manifest")
        kind = substr(old_line, 1, 1)
        if (kind == "l") continue
        if (link) print "./" path(old_line) >(at "link." mode(old_line))
        else print "./" path(old_line) >(at (kind == "d" ? "dirs" : "same"))
        print "./" path(old_line) >(at "mode." mode(old_line))
      }
      next
    }
    /^d / { for (n = $2; n > 0; n--) next_old(); next }
    /^\+/ { print substr($0, 2) >(at "manifest"); next }
    /^[=~]/ {
      tab = index($0, "\t")
      from = substr($0, 2, tab - 2)
      line = substr($0, tab + 1)
      to = path(line)
      print line >(at "manifest")
      print "./" to >(at "mode." mode(line))
      if (/^=/ && from == to) print "./" to >(at "same")
      else { print "./" from "\t./" to >(at (/^=/ ? "moved" : "left")); print "./" to >(at "new") }
      next
    }
    { exit 3 }' "$STAGE/delta"
}

# $1: a list; the rest: a command that takes paths, run in the current directory. HANDS: how xargs gives out the work.
each_of() {
  list=$1
  shift
  # shellcheck disable=SC2086 # words
  [ ! -s "$list" ] || tr '\n' '\000' <"$list" | xargs -0 ${HANDS-} "$@"
}

# Two at once for the list $1, where xargs can start them: each waits for the file system in turn.
in_two() {
  half=$((($(wc -l <"$1") + 1) / 2))
  [ "$half" -le 1000 ] || half=1000
  HANDS="-P 2 -n $half"
  # shellcheck disable=SC2086 # words
  xargs $HANDS true </dev/null 2>/dev/null || HANDS=
}

# Copies what the list $1 names from the directory $2: one process a file, for the few that were renamed. Both names are
# one word: xargs may end a command line after any.
reuse_moved() {
  [ -s "$1" ] || return 0
  (cd "$2" && each_of "$1" sh -c '
    copy=$0 tree=$1 tab=$2; shift 2
    for pair do $copy "${pair%%"$tab"*}" "$tree/${pair#*"$tab"}" || exit 1; done' "$COPY" "$TREE" "$TAB")
}

# One file under two names, where the release's would be like the old one in everything; what is not, and what the disk
# refuses to link, is copied. Looked for from the top: a folder that is a link by now leads to files of somebody else.
reuse_links() {
  for list in "$lists"/link.*; do
    [ -e "$list" ] || continue
    (
      cd "releases/$FROM" || exit 1
      find . -type f -perm "${list##*.}" -user "$1" -group "$2" ! -path "*$NL*" -print |
        awk 'side == 1 { fit[$0]; next } $0 in fit' side=1 - side=2 "$list" >"$lists/fit"
      each_of "$lists/fit" sh -c 'tree=$0; exec cp -lP --parents "$@" "$tree"' "$TREE"
    ) || :
    (cd "$TREE" && each_of "$list" sh -c 'for path; do [ -e "$path" ] || printf "%s\n" "$path"; done' sh) >>"$lists/same" || return 1
  done
}

# How files are copied, into COPY; tried on the file $1, whose copy is $2. Of what a file has only its time matters here; to
# ask for no more saves GNU's cp the third of its work, for every folder above every file. Others know no choice.
reuse_way() {
  COPY='cp -P --preserve=timestamps --reflink=auto'
  $COPY "$1" "$2" 2>/dev/null || COPY='cp -pP'
}

# Whose the files are that arrive, by the one that always does: nothing is linked that is not like it, and what is copied
# becomes so, that nobody reads it who could read the old one only.
# shellcheck disable=SC2012 # stat has no common form
reuse_owner() {
  owner=$(ls -ln "$TREE/.release.json" | { read -r _ _ user group _; echo "$user $group"; })
  group=${GROUP_NAME:-${owner#* }} owner=${owner% *}
}

reuse_same() {
  [ -s "$lists/same" ] || return 0
  # The folders are all there: neither is in the other's way.
  (cd "releases/$FROM" && in_two "$lists/same" && each_of "$lists/same" sh -c '
    copy=$0 tree=$1; shift
    exec $copy --parents "$@" "$tree"' "$COPY" "$TREE")
}

# Modes are the manifest's, whatever became of the old file's. Run in TREE.
reuse_modes() {
  for list in "$lists"/mode.*; do
    [ ! -e "$list" ] || each_of "$list" sh -c 'find "$@" -prune ! -type l ! -perm "$0" -exec chmod "$0" {} +' "${list##*.}" || return 1
  done
}

# A file that was copied keeps its time, so that caches go on believing it; under a new name it gets the release's.
reuse() {
  is_release "$FROM" || FROM=
  lists=$(pwd -P)/$STAGE TREE=$(pwd -P)/$STAGE/tree
  reuse_lists && is_manifest || return 1
  reuse_way "$STAGE/delta" "$STAGE/clone"
  (cd "$TREE" && each_of "$lists/dirs" mkdir -p) || return 1
  reuse_owner
  reuse_links "$owner" "$group" && reuse_same || return 1
  reuse_moved "$lists/moved" "releases/$FROM" && reuse_moved "$lists/left" .shipit/incoming || return 1
  cd "$TREE" || return 1
  each_of "$lists/new" touch -r "$lists/record.json" && reuse_modes || return 1
  find . -type f \( ! -user "$owner" -o ! -group "$group" \) -exec chown "$owner:$group" {} + || [ "$owner" != 0 ]
}
