# shellcheck shell=bash
# The library of scenarios, sourced before each. A scenario is a bash script under "set -euo pipefail";
# a command that fails outside of a check ends it as failed.
#
#   check NAME COMMAND...     one test: COMMAND (often a function) runs in a subshell under set -e;
#                             status 0 passes, 77 (see skip) skips, all else fails; the scenario goes on
#   full_check NAME COMMAND...   likewise, but skipped where time is short (LAB_EFFORT in lab/test)
#   test_begin NAME ... test_pass | test_fail MESSAGE | test_skip MESSAGE     one test by hand
#   skip REASON               inside a checked function: skips that test
#   fail REASON               inside a checked function: fails it with this message
#   on_exit COMMAND...        runs at the scenario's end, last first
#   eventually SECONDS COMMAND...   repeats COMMAND until it succeeds; fails after LAB_PATIENCE times SECONDS
# See also lib-bulkhead.sh, and lab_reboot below.
set -euo pipefail

LAB_OUT=/lab/out
LAB_EFFORT=$(sed -n 's/.*lab\.effort=\([a-z]*\).*/\1/p' /proc/cmdline)
LAB_EFFORT=${LAB_EFFORT:-full}
LAB_SCENARIO=${LAB_SCENARIO:-interactive}
# What takes a second on a quiet machine takes several where others keep the machine busy; limits are there for what hangs.
LAB_PATIENCE=4
lab_test='' lab_started=0 lab_count=0 lab_failures=0 lab_exit_commands=()

lab_json() {
  local text=$1
  text=${text//\\/\\\\} text=${text//\"/\\\"} text=${text//$'\n'/\\n} text=${text//$'\t'/ }
  printf '"%s"' "${text//[[:cntrl:]]/}"
}

# lab_record TEST OUTCOME MESSAGE: appends one result.
lab_record() {
  local seconds=$((SECONDS - lab_started))
  lab_count=$((lab_count + 1))
  [ "$2" != failed ] || lab_failures=$((lab_failures + 1))
  printf '{"scenario":%s,"test":%s,"outcome":"%s","seconds":%d,"message":%s}\n' \
    "$(lab_json "$LAB_SCENARIO")" "$(lab_json "$1")" "$2" "$seconds" "$(lab_json "$3")" >>"$LAB_OUT/results.jsonl"
  printf '%-7s %s%s (%d s)\n' "$2" "$1" "${3:+: $3}" "$seconds"
}

test_begin() {
  [ -z "$lab_test" ] || test_fail "no verdict before the next test"
  lab_test=$1 lab_started=$SECONDS
  echo "lab: $LAB_SCENARIO: $1" >/dev/kmsg
}
lab_end() {
  local name=${lab_test:?no test was begun}
  lab_test=''
  lab_record "$name" "$1" "${2:-}"
}
test_pass() { lab_end passed; }
test_fail() { lab_end failed "${1:-}"; }
test_skip() { lab_end skipped "${1:-}"; }

skip() {
  echo "$*"
  exit 77
}
fail() {
  echo "$*"
  exit 1
}

check() {
  local name=$1 status=0 log output
  shift
  log=$(mktemp)
  test_begin "$name"
  exec {output}> >(tee "$log" | sed -u 's/^/    /')
  # Not in a condition: there "set -e" would be off inside the subshell.
  set +e
  (
    trap - EXIT
    trap 'echo "${BASH_SOURCE[0]##*/}:$LINENO: $BASH_COMMAND"' ERR
    set -e
    "$@"
  ) >&"$output" 2>&1 {output}>&-
  status=$?
  set -e
  # All output comes before the verdict, unless a process left behind keeps the pipe open.
  exec {output}>&-
  timeout 2 tail --pid=$! -s 0.05 -f /dev/null || true
  case $status in
    0) test_pass ;;
    77) test_skip "$(tail -n 1 "$log")" ;;
    *) test_fail "$(tail -n 12 "$log" | grep . || echo "status $status")" ;;
  esac
  rm -f "$log"
}

full_check() {
  if [ "$LAB_EFFORT" = full ]; then
    check "$@"
  else
    test_begin "$1"
    test_skip "takes long: make test-all"
  fi
}

eventually() {
  local limit=$((SECONDS + LAB_PATIENCE * $1)) log
  shift
  log=$(mktemp)
  until "$@" >"$log" 2>&1; do
    if [ "$SECONDS" -ge "$limit" ]; then
      tail -n 5 "$log"
      echo "still not so: $*"
      return 1
    fi
    sleep 0.2
  done
  rm -f "$log"
}

# lab_reboot: starts the machine anew ("# lab: full" and "# lab: reboot"); the scenario runs once more from its top then,
# with the next number in LAB_BOOT. What it has done to disks stays.
lab_reboot() {
  mkdir -p /run/systemd/system/lab.service.d
  printf '[Unit]\nSuccessAction=none\nFailureAction=none\n' >/run/systemd/system/lab.service.d/reboot.conf
  systemctl daemon-reload
  : >/run/lab-rebooting
  trap - EXIT ERR
  sync
  systemctl --no-block reboot
  exit 0
}

on_exit() { lab_exit_commands=("$(printf '%q ' "$@")" "${lab_exit_commands[@]}"); }

# What the kernel has said since the scenario began: boots are shared, and other scenarios provoke faults.
lab_kernel_log() {
  dmesg | awk -v mark="lab: scenario $LAB_SCENARIO" 'index($0, mark) { lines = ""; next } { lines = lines $0 "\n" }
    END { printf "%s", lines }'
}

# What the kernel says when something in it broke, had too little memory, or when a program of ours crashed.
lab_kernel_complaints() {
  local kernel='BUG:|Oops|WARNING: CPU|general protection|blocked for more than|refcount_t|Call Trace|Out of memory'
  # The kernel says so with kernel.print-fatal-signals (lab/guest/init).
  local crash='Comm: (bulkhead(d|ctl|-broker)|nbd-campaign|udriver-(nvme|e1000e|virtio))'
  lab_kernel_log | grep -E "$kernel|$crash" || true
}

# What a scenario makes and the next one in the same boot would stumble over: network namespaces, virtual interfaces.
lab_leftovers() {
  {
    ip netns list | sed 's/ (id.*//; s/^/network namespace /'
    find /sys/devices/virtual/net -mindepth 1 -maxdepth 1 -printf 'interface %f\n'
  } | LC_ALL=C sort
}

lab_finish() {
  local status=$? command complaints leftovers
  set +e
  if [ -n "$lab_test" ]; then
    test_fail "ended with status $status in the middle of the test"
  elif [ "$status" != 0 ]; then
    lab_started=$SECONDS
    lab_record "ends well" failed "status $status ${lab_failed_at:-}"
  elif [ "$lab_count" = 0 ]; then
    lab_record "has tests" failed "the scenario tested nothing"
  fi
  for command in "${lab_exit_commands[@]}"; do eval "$command"; done
  complaints=$(lab_kernel_complaints)
  [ -z "$complaints" ] || lab_record "the kernel does not complain" failed "$complaints"
  leftovers=$(LC_ALL=C comm -13 <(echo "$lab_before") <(lab_leftovers))
  [ -z "$leftovers" ] || lab_record "leaves no network behind" failed "$leftovers"
  [ "$lab_failures" = 0 ] && [ "$status" = 0 ]
  exit
}
# Only a scenario is recorded; an interactive shell that sources this file just gets the functions.
if [ "$LAB_SCENARIO" != interactive ]; then
  lab_before=$(lab_leftovers)
  set -E
  trap 'lab_failed_at="${BASH_SOURCE[0]##*/}:$LINENO: $BASH_COMMAND"' ERR
  trap lab_finish EXIT
else
  set +euo pipefail
fi

# shellcheck source=lab/guest/lib-bulkhead.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib-bulkhead.sh"
# shellcheck source=lab/guest/lib-snapshot.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib-snapshot.sh"
# shellcheck source=lab/guest/lib-disk.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib-disk.sh"
# shellcheck source=lab/guest/lib-net.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib-net.sh"
