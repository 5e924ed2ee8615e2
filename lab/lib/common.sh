# shellcheck shell=bash
# Sourced by the lab's scripts on the host: where things are, progress lines, the cache.

LAB_SOURCE=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
# shellcheck disable=SC2034 # read by the scripts that source this file
ROOT=$(dirname "$LAB_SOURCE")
LAB=${LAB_STATE:-$ROOT/.lab}
mkdir -p "$LAB"

# say TOPIC MESSAGE...: one progress line on stderr, with the seconds since the script began.
say() {
  local topic=$1
  shift
  printf '[%s %3ds] %s\n' "$topic" "$SECONDS" "$*" >&2
}

die() {
  printf '%s: error: %s\n' "$(basename "$0")" "$*" >&2
  exit 1
}

# usage_if_asked "$@": prints the comment block at the top of the calling script for -h or --help.
usage_if_asked() {
  case ${1:-} in
    -h | --help)
      sed -n '2,/^[^#]/{/^#/s/^# \{0,1\}//p}' "$0"
      exit 0
      ;;
  esac
}

# list FILE: the words of a list file, without comments.
list() {
  sed -e 's/#.*//' -e '/^[[:space:]]*$/d' "$1"
}

# key WORD|FILE...: a short hash over the words and the contents of the files among them.
key() {
  local input
  for input in "$@"; do
    if [ -f "$input" ]; then cat "$input"; else printf '%s\n' "$input"; fi
  done | sha256sum | cut -c1-12
}

# locked NAME: waits until no other process of this tree builds the same thing; held until exit.
locked() {
  exec {LAB_LOCK}>"$LAB/$1.lock"
  if ! flock --nonblock "$LAB_LOCK"; then
    say "$1" "waiting for another build of the same"
    flock "$LAB_LOCK"
  fi
}

# ticking TOPIC COMMAND...: runs a quiet command and says every 15 s that it still runs.
ticking() {
  local topic=$1 ticker status=0
  shift
  (while sleep 15; do say "$topic" "still at it"; done) &
  ticker=$!
  "$@" || status=$?
  kill "$ticker" 2>/dev/null || true
  wait "$ticker" 2>/dev/null || true
  return "$status"
}
