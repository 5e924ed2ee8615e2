# shellcheck shell=bash
# Part of lib.sh: output that is to be as it was.
#
#   COMMAND | snapshot NAME     compares with Tests/Lab/snapshots/NAME, once what differs from run to run is taken out
#   UPDATE_SNAPSHOTS=1 lab/run SCENARIO...    writes the files anew instead; look at the difference before it is committed

# What differs from run to run: processes, times, what was counted.
snapshot_normalised() {
  sed -E \
    -e 's/"(since|brokerSince|countedSince|time|total|generation|brokerPid|driverPid)" : [0-9]+/"\1" : N/' \
    -e 's/"(reads|writes|flushes|discards|bytesRead|bytesWritten|inFlight|clients|wakeups|interrupts|resets)" : [0-9]+/"\1" : N/' \
    -e 's/^( +)[0-9]+(,?)$/\1N\2/' \
    -e 's/process [0-9]+/process N/g; s/^( *(State|Desired): .*) for [0-9]+ (s|min)$/\1 for TIME/' \
    -e 's/[0-9]+ (reads|writes) \([^)]*\)/N \1 (N)/g; s/[0-9]+ (flushes|discards|interrupts|wake-ups)/N \1/g' \
    -e 's/[0-9]+ (in flight|connections)/N \1/g; s/the last [0-9]+ s ago/the last TIME ago/' \
    -e 's,/dev/nvme[0-9]+n,/dev/nvmeNn,g' \
    -e 's/"time":[0-9]+/"time":N/' \
    -e 's/^[0-9]{4}(-[0-9]{2}){2}T([0-9]{2}:){2}[0-9]{2}[+-][0-9]{4} /TIME /'
}

snapshot() {
  local expected=/lab/share/snapshots/$1 actual=$LAB_OUT/snapshots/$1
  mkdir -p "$LAB_OUT/snapshots"
  snapshot_normalised >"$actual"
  ! grep -qw lab.snapshots=update /proc/cmdline || return 0
  [ -e "$expected" ] || fail "there is no snapshot $1: UPDATE_SNAPSHOTS=1 lab/run Tests/Lab/$LAB_SCENARIO makes it"
  diff -u "$expected" "$actual" || fail "$1 is not as it was"
}

# gives STATUS COMMAND...: runs it; its output is in $LAB_WORK/out and $LAB_WORK/err.
gives() {
  local expected=$1 status=0
  shift
  timeout 60 "$@" >"$LAB_WORK/out" 2>"$LAB_WORK/err" || status=$?
  cat "$LAB_WORK/err"
  [ "$status" = "$expected" ] || fail "status $status, not $expected: $*"
}
# says TEXT...: on standard error, of the last command.
says() {
  local text
  for text in "$@"; do grep -qF -- "$text" "$LAB_WORK/err" || fail "does not say: $text"; done
}
# ctl_error STATUS SNAPSHOT ARGUMENT...: bulkheadctl fails so, with nothing on standard output and a hint; what it says is kept.
ctl_error() {
  local status=$1 name=$2
  shift 2
  gives "$status" bulkheadctl "$@"
  [ ! -s "$LAB_WORK/out" ] || fail "diagnostics on standard output"
  { echo "$ bulkheadctl $*" && cat "$LAB_WORK/err"; } | snapshot "${LAB_SCENARIO%%-*}-error-$name.txt"
}

# has ADDRESS DRIVER: that kernel driver has the device, or soon will.
is_with() { [ "$(driver_of "$1")" = "$2" ]; }
has() { eventually 30 is_with "$1" "$2" || fail "$1 is with $(driver_of "$1"), not $2"; }

# has_drop_ins FILE...: these, and no others, are what the configuration has beside its file.
drop_ins() { find /etc/bulkhead/bulkhead.d /run/bulkhead/bulkhead.d -type f 2>/dev/null | sort | tr '\n' ' '; }
has_drop_ins() { [ "$(drop_ins)" = "${1:+$1 }" ] || fail "drop-ins: $(drop_ins)"; }
restart_bulkheadd() { stop_bulkheadd && start_bulkheadd; }
