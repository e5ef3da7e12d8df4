# A line of the user's own (a hook, a command service's start): its environment, and its run in a process group of its
# own. The line and its values are written to a file in the session's directory, never to a command line, which every
# account could read. Defines functions; needs lib.sh and the session's driver.sh; T, and for line_write BASE.
# shellcheck shell=sh disable=SC2154,SC2034

LINE_CR=$(printf '\r')
LINE_BLANK=" $TAB"

# $1 as one shell word, into WORD.
line_word() {
  WORD='' rest=$1
  while case $rest in *\'*) ;; *) false ;; esac; do
    WORD=$WORD${rest%%\'*}"'\\''" rest=${rest#*\'}
  done
  WORD="'$WORD$rest'"
}

# One variable of the line's environment; a name that this shell can't set (bash's UID, say) is left out.
line_pair() {
  case $1 in '' | [0-9]* | *[!A-Za-z0-9_]*) return 0 ;; esac
  (eval "$1=") 2>/dev/null || return 0
  line_word "$2"
  printf 'export %s=%s\n' "$1" "$WORD"
}

# Pairs as the client writes them: NAME=VALUE, one a line, escaped for printf %b; the dot keeps a trailing newline.
line_env() {
  printf '%s\n' "$1" | while IFS= read -r pair; do
    [ -n "$pair" ] || continue
    value=$(printf '%b.' "${pair#*=}")
    line_pair "${pair%%=*}" "${value%.}"
  done
}

line_trim() {
  TRIMMED=${1#"${1%%[!"$LINE_BLANK"]*}"}
  TRIMMED=${TRIMMED%"${TRIMMED##*[!"$LINE_BLANK"]}"}
}

# What stands between double quotes: \n \r \t \" \\ \$ mean something, any other backslash is itself.
line_unescape() {
  VALUE='' rest=$1
  while case $rest in *\\*) ;; *) false ;; esac; do
    VALUE=$VALUE${rest%%\\*} rest=${rest#*\\}
    case $rest in
      n*) VALUE=$VALUE$NL rest=${rest#?} ;;
      r*) VALUE=$VALUE$LINE_CR rest=${rest#?} ;;
      t*) VALUE=$VALUE$LINE_TAB rest=${rest#?} ;;
      [\"\$\\]*) next=${rest#?} VALUE=$VALUE${rest%"${rest#?}"} rest=$next ;;
      *) VALUE=$VALUE\\ ;;
    esac
  done
  VALUE=$VALUE$rest
}

# dotenv: KEY=value, `export`, three kinds of quotes over several lines, `#`; nothing is expanded. What it holds is
# noted in T/mask as well: it may not leave the host, whatever the line prints.
line_env_file() {
  [ -n "$1" ] || return 0
  if [ ! -r "shared/$1" ]; then
    LINE_WHY="env_file shared/$1 can't be read"
    return 1
  fi
  while IFS= read -r text || [ -n "$text" ]; do
    line_trim "${text%"$LINE_CR"}"
    case $TRIMMED in
      '#'*) continue ;;
      export["$LINE_BLANK"]*) line_trim "${TRIMMED#export}" ;;
    esac
    text=$TRIMMED
    case $text in *=*) ;; *) continue ;; esac
    line_trim "${text%%=*}"
    name=$TRIMMED
    line_trim "${text#*=}"
    case $TRIMMED in
      \"* | \'* | \`*)
        rest=${TRIMMED#?} quote=${TRIMMED%"${TRIMMED#?}"} VALUE=''
        while :; do
          case $rest in
            *"$quote"*)
              VALUE=$VALUE${rest%%"$quote"*} rest=${rest#*"$quote"}
              # A quote behind an odd number of backslashes belongs to the value.
              slashes=${VALUE##*[!\\]}
              if [ "$quote" != '"' ] || [ $((${#slashes} % 2)) = 0 ]; then break; fi
              VALUE=$VALUE\" ;;
            *)
              VALUE=$VALUE$rest$NL
              if ! IFS= read -r rest; then
                LINE_WHY="env_file shared/$1: the quote of $name is never closed"
                return 1
              fi
              rest=${rest%"$LINE_CR"} ;;
          esac
        done
        [ "$quote" != '"' ] || line_unescape "$VALUE" ;;
      *) line_trim "${TRIMMED%%#*}"; VALUE=$TRIMMED ;;
    esac
    line_pair "$name" "$VALUE"
    printf '%s\n' "$VALUE" | while IFS= read -r part; do
      [ "${#part}" -lt 8 ] || printf '%s\n' "$part"
    done >>"$T/mask"
  done <"shared/$1"
}

# Writes T/$1: what runs the line $3 in the directory $2, with the variables of the file $4, then those of $5.
line_write() {
  LINE_WHY="the line can't be written in $BASE/$T"
  rm -f "$T/mask"
  {
    true >"$T/mask"
    line_pair PATH "$PATH"
    line_pair HOME "$HOME"
    line_pair USER "$(id -un)"
    line_pair LOGNAME "$(id -un)"
    line_pair LANG "${LANG:-C.UTF-8}"
    [ -z "${PM2_HOME-}" ] || line_pair PM2_HOME "$PM2_HOME"
    line_env_file "$4" || return 1
    line_env "$5"
    line_word "$2"
    printf 'cd %s || exit 126\n' "$WORD"
    line_word "$3"
    printf 'exec sh -c %s\n' "$WORD"
  } >"$T/$1"
}

# Runs T/$1 for at most $2 seconds, counted in pauses: LINE_CODE, and LINE_WHY where it was ended. T/$1.stop ends it.
# The group takes itself up in T/groups before the line begins. What the line leaves running is the caller's business.
line_run() {
  setsid sh "$T/driver.sh" line "$1" </dev/null &
  LINE=$! LINE_WHY='' LINE_LEFT=$2 LINE_SHORT=10
  proc_stat "$LINE" || P_START=0
  LINE_START=$P_START
  while proc_is "$LINE" "$LINE_START"; do
    if [ -e "$T/$1.stop" ]; then
      LINE_WHY='it was called off'
    elif [ "$LINE_LEFT" -le 0 ]; then
      LINE_WHY="no end within $2 s"
    fi
    if [ -n "$LINE_WHY" ]; then
      end_group "$LINE" "$LINE_START"
      break
    fi
    if [ "$LINE_SHORT" -gt 0 ] && sleep 0.1 2>/dev/null; then
      LINE_SHORT=$((LINE_SHORT - 1))
      [ "$LINE_SHORT" -gt 0 ] || LINE_LEFT=$((LINE_LEFT - 1))
    else
      sleep 1
      LINE_LEFT=$((LINE_LEFT - 1))
    fi
  done
  wait "$LINE"
  LINE_CODE=$?
  mv -f "$T/groups/$LINE.$LINE_START" "$T/groups/spare" 2>/dev/null
}
