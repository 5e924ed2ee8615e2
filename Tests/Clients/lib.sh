# shellcheck shell=bash
# shellcheck disable=SC2034 # the parts read what is set here
# Sourced by Tests/Clients/run: tests as functions, the export's address, noise.

# libnbd's Python module belongs to the system's Python, whatever else is on the PATH.
PYTHON=/usr/bin/python3
failed=0

usage() {
  sed -n '2,/^[^#]/{/^#/s/^# \{0,1\}//p}' "$CLIENTS/run"
  exit 2
}

# begin: what all parts use: URI, SIZE and BLOCK of the export, the scratch directory WORK.
begin() {
  [ -S "$SOCKET" ] || { echo "there is no socket $SOCKET" >&2 && exit 2; }
  URI="nbd+unix:///${CLIENTS_EXPORT:-}?socket=$SOCKET"
  WORK=$(mktemp -d "${TMPDIR:-/tmp}/clients.XXXXXX")
  trap 'rm -rf "$WORK"' EXIT
  SIZE=${CLIENTS_SIZE:-$(timeout 30 nbdinfo --size "$URI")}
  BLOCK=${CLIENTS_BLOCK:-512}
  PROCESS=$(process)
  SLOW=${CLIENTS_SLOW:-}
}

# process: the server's process and when it was started; empty when nobody said which one it is.
process() { [ -z "${CLIENTS_PID:-}" ] || awk '{ print $1, $22 }' "/proc/$CLIENTS_PID/stat"; }
same_process() {
  [ -n "${CLIENTS_PID:-}" ] || skip "nobody said which process serves"
  [ "$(process)" = "$PROCESS" ] || fail "it is not $PROCESS any more"
}

skip() {
  echo "$*"
  exit 77
}
fail() {
  echo "$*"
  exit 1
}

# test_case NAME COMMAND...: COMMAND (often a function) in a subshell under set -e; 0 passes, 77 skips.
test_case() {
  local name=$1 status
  shift
  set +e
  (
    trap - EXIT
    trap 'echo "${BASH_SOURCE[0]##*/}:$LINENO: ${BASH_COMMAND%%$'"'\\n'"'*}"' ERR
    set -eE
    "$@"
  ) >"$WORK/log" 2>&1 </dev/null
  status=$?
  set -e
  case $status in
    0) echo "ok $name" ;;
    77) echo "skip $name - $(tail -n 1 "$WORK/log")" ;;
    *)
      failed=1
      sed "s/^/    /" "$WORK/log" >&2
      echo "not ok $name - $(tail -n 3 "$WORK/log" | tr '\n' ' ' | grep . || echo "status $status")"
      ;;
  esac
}

# pass_on COMMAND...: COMMAND prints such lines itself.
pass_on() {
  "$@" || failed=1
}

# noise FILE MEGABYTES: no two blocks alike.
noise() { dd if=/dev/urandom of="$1" bs=1M count="$2" status=none; }

# sparse_noise FILE: as large as the export, mostly holes, with noise at both ends and in the middle.
sparse_noise() {
  local offset
  rm -f "$1"
  truncate -s "$SIZE" "$1"
  for offset in 0 $((SIZE / 2 / 65536 * 65536)) $((SIZE - (1 << 20))); do
    dd if=/dev/urandom of="$1" bs=64k count=16 seek="$offset" oflag=seek_bytes conv=notrunc status=none
  done
}

# same FILE FILE [BYTES]: equal hashes (of the first BYTES).
same() {
  local first second bytes=${3:-$SIZE}
  first=$(head -c "$bytes" "$1" | sha256sum)
  second=$(head -c "$bytes" "$2" | sha256sum)
  [ "$first" = "$second" ] || fail "hashes differ: ${first%% *} and ${second%% *}"
}
