# shellcheck shell=bash
# lab: deadline=240
# Inside the jail of a driver with a real VFIO device: everything that is not granted is denied.

disk0=$(nvme_address 0)
on_exit stop_bulkheadd
start_disks "$(device_entry disk0 "$disk0" nvme 'limits = { memory = "48M", pids = 1, cpu = "80%" }')"
pid=$(status disk0 driverPid)

files_are_the_manifest() {
  local expected actual
  # log, control, rings, arena, device, then interrupts, kicks and calls.
  expected="2 3 4 5 7"
  actual=$(find "/proc/$pid/fd" -mindepth 1 -printf '%f\n' | sort -n | tr '\n' ' ')
  echo "open: $actual"
  for number in $expected; do grep -qw "$number" <<<"$actual" || fail "file $number is missing"; done
  for number in $actual; do
    case $number in
      2 | 3 | 4 | 5 | 7) ;;
      1[6-9] | 6[4-7] | 9[6-9]) [ "$(readlink "/proc/$pid/fd/$number")" = 'anon_inode:[eventfd]' ] || fail "file $number" ;;
      *) fail "file $number: $(readlink "/proc/$pid/fd/$number")" ;;
    esac
  done
  readlink "/proc/$pid/fd/7" | grep -F 'anon_inode:[vfio-device]'
}
check "the open files are those of the manifest" files_are_the_manifest

identity() {
  grep -E '^(Uid|CapEff|CapBnd|CapPrm|NoNewPrivs|Seccomp):' "/proc/$pid/status" | tee "$LAB_WORK/status"
  grep -qE '^CapEff:\s0000000000000000$' "$LAB_WORK/status"
  grep -qE '^CapBnd:\s0000000000000000$' "$LAB_WORK/status"
  grep -qE '^NoNewPrivs:\s1$' "$LAB_WORK/status"
  grep -qE '^Seccomp:\s2$' "$LAB_WORK/status"
  ! grep -qE '^Uid:\s0\s' "$LAB_WORK/status" || fail "the driver is root"
  for space in user mnt net pid ipc uts cgroup; do
    [ "$(readlink "/proc/$pid/ns/$space")" != "$(readlink "/proc/self/ns/$space")" ] || fail "shares the $space namespace"
  done
}
check "no capability, no privilege to gain, namespaces of its own" identity

empty_root() { [ -z "$(ls -A "/proc/$pid/root/")" ] || fail "the root is not empty"; }
check "the root directory is empty" empty_root

limits_hold() {
  local group
  group=$(control_group_of "$pid")
  echo "$group"
  [ "$(cat "$group/memory.max")" = $((48 << 20)) ] || fail "memory.max: $(cat "$group/memory.max")"
  [ "$(cat "$group/pids.max")" = 1 ] || fail "pids.max: $(cat "$group/pids.max")"
  [ "$(cut -d' ' -f1 "$group/cpu.max")" = 80000 ] || fail "cpu.max: $(cat "$group/cpu.max")"
}
check "the cgroup limits are those of the configuration" limits_hold

broker_is_confined() {
  local broker
  broker=$(status disk0 brokerPid)
  grep -qE '^CapEff:\s0000000000000000$' "/proc/$broker/status" || fail "the broker has capabilities"
  grep -qE '^Seccomp:\s2$' "/proc/$broker/status" || fail "the broker has no filter"
  ! grep -qE '^Uid:\s0\s' "/proc/$broker/status" || fail "the broker is root"
}
check "the broker has dropped its privileges too" broker_is_confined

# No library, no allocator of the host: a fully static executable without Foundation.
static_executables() {
  for file in /usr/lib/bulkhead/drivers/udriver-nvme /usr/lib/bulkhead/bulkhead-broker /usr/lib/bulkhead/bulkhead-jail; do
    ! ldd "$file" 2>/dev/null | grep -q '=>' || fail "$file is dynamic"
    ! grep -qa FoundationEssentials "$file" || fail "$file contains Foundation"
  done
}
check "driver, broker and jail are static and free of Foundation" static_executables

stop_bulkheadd
start_disks "$(device_entry disk0 "$disk0" hostile 'options = { attack = "jail" }')"

denials() {
  eventually 20 grep -qE 'jail: [0-9]+ tried' "$LAB_OUT/bulkheadd.log"
  grep -oE 'jail: .*' "$LAB_OUT/bulkheadd.log" | sort -u
  ! grep 'jail: .*ALLOWED' "$LAB_OUT/bulkheadd.log" || fail "something was permitted"
  grep -qE 'jail: [0-9]+ tried, 0 allowed' "$LAB_OUT/bulkheadd.log"
  # A path, a socket, another process; the device file; new processes; the file system; registers not granted.
  for attempt in open-root open-vfio socket-unix ptrace vfio-ioctl-info vfio-read vfio-write vfio-dup clone3 execve \
    execveat-arena mount vfio-mmap-msix-table vfio-mmap-beyond mmap-executable ftruncate-arena; do
    grep -qE "jail: $attempt: denied E" "$LAB_OUT/bulkheadd.log" || fail "$attempt: no denial is on record"
  done
}
check "inside the jail each attempt is denied" denials
