# Holds a tree against its manifest (one line an entry: `f MODE SIZE SHA256 PATH`, `d MODE - - PATH`,
# `l - - - PATH<TAB>TARGET`; a backslash, newline, tab and carriage return in a name are escaped for printf %b).
# Prints `bad PATH` for every entry that is missing or differs. Only reads. Defines functions; needs lib.sh, T.
# shellcheck shell=sh disable=SC2154

# The name behind an escaped one, into NAME; the dot keeps a trailing newline.
unescape() {
  case $1 in
    *\\*)
      NAME=$(printf '%b.' "$1")
      NAME=${NAME%.} ;;
    *) NAME=$1 ;;
  esac
}

# Whether the stage's manifest is the one that was meant.
is_manifest() {
  sum=$(sha256sum <"$STAGE/manifest") && [ "${sum%% *}" = "$MANIFEST_SHA" ]
}

# Whether openssl is there and says what SHA-256 is: it asks the processor for it, which is three times as quick as
# coreutils of today's stable systems are.
is_quick() {
  command -v awk >/dev/null && command -v xargs >/dev/null &&
    case $(printf abc | openssl dgst -sha256 -r 2>/dev/null) in
      ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad*) ;;
      *) return 1 ;;
    esac
}

# A filter over the lines that verify_tree holds a tree against.
of_lines() { if [ "$manifest" = - ]; then printf '%s\n' "$lines" | "$@"; else "$@" <"$manifest"; fi; }

# verify_tree TREE MANIFEST, both absolute, or - for lines on standard input. The current directory stays.
verify_tree() (
  manifest=$2 lines=
  [ "$manifest" != - ] || lines=$(cat)
  cd "$1" || { printf 'bad .\n'; exit 1; }
  # Names that need no escape are read as they stand; `./` keeps a file called - from being standard input.
  # Every file must be answered for: a list that was cut, or a checker that was ended, is no proof.
  want=$(of_lines grep '^f ' | grep -vc '[\]')
  if [ "$want" != 0 ] && is_quick; then
    of_lines sed -n '/\\/!s|^f [0-7]* [0-9]* [0-9a-f]* |./|p' | tr '\n' '\000' | xargs -0 openssl dgst -sha256 -r 2>/dev/null |
      { of_lines sed -n '/\\/!s|^f [0-7]* [0-9]* \([0-9a-f]*\) \(.*\)$|\1 *./\2|p' | sed 's/^/+/'; cat; } |
      awk '/^[+]/ { want[substr($0, 2)]; next } { delete want[$0] } END { for (line in want) print "bad " substr(line, 69) }'
  elif [ "$want" != 0 ]; then
    checked=$(of_lines sed -n '/\\/!s|^f [0-7]* [0-9]* \([0-9a-f]*\) \(.*\)$|\1  ./\2|p' | sha256sum -c - 2>/dev/null)
    printf '%s\n' "$checked" | sed -n '/: OK$/!{s|^\./||;s|: FAILED.*||;s|^|bad |;p;}'
    [ "$(printf '%s\n' "$checked" | grep -c .)" = "$want" ] || printf 'bad .\n'
  fi
  of_lines grep -e '^[dl] ' -e '^f .*[\]' | while IFS= read -r line; do
    kind=${line%% *} path=${line#* * * * }
    case $kind in
      d) unescape "$path"; [ -d "./$NAME" ] || printf 'bad %s\n' "$path" ;;
      l)
        unescape "${path#*"$TAB"}"; target=$NAME
        unescape "${path%%"$TAB"*}"
        [ -L "./$NAME" ] && [ "$(readlink "./$NAME"; echo .)" = "$target$NL." ] || printf 'bad %s\n' "${path%%"$TAB"*}" ;;
      f)
        unescape "$path"
        sum=${line#* * * } sum=${sum%% *}
        [ "$(sha256sum <"./$NAME" 2>/dev/null | cut -c1-64)" = "$sum" ] || printf 'bad %s\n' "$path" ;;
    esac
  done
)

# Whether a tree, whose manifest's entries are all right, holds nothing beside them.
nothing_more() {
  there=$(cd "$1" && find . ! -type d -print0 | tr -dc '\000' | wc -c) && [ "$there" -eq "$(grep -vc '^d ' "$2")" ]
}
