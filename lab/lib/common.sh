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

# list FILE...: the words of list files, without comments.
list() {
  sed -e 's/#.*//' -e '/^[[:space:]]*$/d' "$@"
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
  local topic=$1
  shift
  with_ticker "$topic" /dev/null "$@"
}

# logging TOPIC LOG COMMAND...: runs a talkative command into LOG and says every 15 s where it is; when it
# fails, the errors in LOG, or its end, go to stderr.
logging() {
  local topic=$1 log=$2 status=0
  shift 2
  : >"$log"
  # shellcheck disable=SC2094 # only the ticker reads it
  with_ticker "$topic" "$log" "$@" >"$log" 2>&1 || status=$?
  if [ "$status" != 0 ]; then
    { grep -E -A 3 '(error|fatal error):' "$log" || tail -n 40 "$log"; } | head -n 80 >&2
    say "$topic" "failed with status $status; all of it: $log"
  fi
  return "$status"
}

# with_ticker TOPIC LOG COMMAND...: while COMMAND runs, the last line of LOG goes to our stderr every 15 s.
with_ticker() {
  local topic=$1 log=$2 ticker status=0
  shift 2
  tick "$topic" "$log" >/dev/null 2>&"$LAB_STDERR" &
  ticker=$!
  "$@" || status=$?
  kill "$ticker" 2>/dev/null || true
  wait "$ticker" 2>/dev/null || true
  return "$status"
}
tick() {
  local quiet last
  # A read that times out sleeps without a child process that would outlive the killed ticker.
  exec {quiet}<> <(:)
  while true; do
    read -r -t 15 -u "$quiet" || true
    last=$(tail -n 1 "$2" | tr '\r' '\n' | tail -n 1 | cut -c1-100)
    say "$1" "${last:-still at it}"
  done
}
exec {LAB_STDERR}>&2

# The toolchain is the one thing that we cannot install from Debian.
have_swift() {
  command -v swift >/dev/null || die "swift is not on the PATH. Install Swift 6.3 from swift.org, then run this again."
}
