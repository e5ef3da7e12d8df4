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

# Whether openssl and awk are there and work, and the former says what SHA-256 is: it asks the processor for it, which is
# three times as quick as coreutils of today's stable systems are.
is_quick() {
  command -v awk >/dev/null && command -v xargs >/dev/null &&
    case $(printf abc | openssl dgst -sha256 -r 2>/dev/null | awk '{ print $1 }' 2>/dev/null) in
      ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad) ;;
      *) return 1 ;;
    esac
}

# A filter over the lines that verify_tree holds a tree against.
of_lines() { if [ "$manifest" = - ]; then printf '%s\n' "$lines" | "$@"; else "$@" <"$manifest"; fi; }

# Takes a count off the end of TOLD, into COUNT; 0 where it does not end with one.
take_count() {
  COUNT=${TOLD##*"$NL"}
  case $COUNT in
    '' | *[!0-9]*) COUNT=0 ;;
    *) TOLD=${TOLD%"$COUNT"} ;;
  esac
}

# verify_tree TREE MANIFEST, both absolute, or - for lines on standard input. The current directory stays. What is good is
# counted, and all must be: a list that was cut, or a tool that failed or was ended, is no proof. A status other than 0 is
# none either.
verify_tree() (
  manifest=$2 lines='' bad='' good=0
  [ "$manifest" != - ] || lines=$(cat)
  cd "$1" || { printf 'bad .\n'; exit 1; }
  all=$(of_lines grep -c '^[dfl] ')
  # Names that need no escape are read as they stand; `./` keeps a file called - from being standard input.
  want=$(of_lines grep '^f ' | grep -vc '[\]')
  if [ "$want" != 0 ] && is_quick; then
    TOLD=$(of_lines sed -n '/\\/!s|^f [0-7]* [0-9]* [0-9a-f]* |./|p' | tr '\n' '\000' | xargs -0 openssl dgst -sha256 -r 2>/dev/null |
      { of_lines sed -n '/\\/!s|^f [0-7]* [0-9]* \([0-9a-f]*\) \(.*\)$|\1 *./\2|p' | sed 's/^/+/'; cat; } |
      awk '/^[+]/ { want[substr($0, 2)]; next } $0 in want { good++; delete want[$0] }
        END { for (line in want) print "bad " substr(line, 69); print good + 0 }')
    take_count
    bad=$TOLD good=$COUNT
  elif [ "$want" != 0 ]; then
    checked=$(of_lines sed -n '/\\/!s|^f [0-7]* [0-9]* \([0-9a-f]*\) \(.*\)$|\1  ./\2|p' | sha256sum -c - 2>/dev/null)
    bad=$(printf '%s\n' "$checked" | sed -n '/: OK$/!{s|^\./||;s|: FAILED.*||;s|^|bad |;p;}')$NL
    good=$(printf '%s\n' "$checked" | grep -c ': OK$')
  fi
  TOLD=$(of_lines grep -e '^[dl] ' -e '^f .*[\]' | {
    n=0
    while IFS= read -r line; do
      kind=${line%% *} path=${line#* * * * }
      shown=${path%%"$TAB"*}
      unescape "$shown"
      case $kind in
        d) [ -d "./$NAME" ] ;;
        l)
          at=./$NAME
          unescape "${path#*"$TAB"}"
          [ -L "$at" ] && [ "$(readlink "$at"; echo .)" = "$NAME$NL." ] ;;
        f)
          sum=${line#* * * } sum=${sum%% *}
          [ "$(sha256sum <"./$NAME" 2>/dev/null | cut -c1-64)" = "$sum" ] ;;
      esac && n=$((n + 1)) || printf 'bad %s\n' "$shown"
    done
    echo "$n"
  })
  take_count
  bad=$bad$TOLD
  [ "$((good + COUNT))" = "$all" ] || [ -n "${bad#"$NL"}" ] || bad="bad .$NL"
  printf '%s' "${bad#"$NL"}"
)

# Whether a tree, whose manifest's entries are all right, holds nothing beside them.
nothing_more() {
  there=$(cd "$1" && find . ! -type d -print0 | tr -dc '\000' | wc -c) && [ "$there" -eq "$(grep -vc '^d ' "$2")" ]
}
