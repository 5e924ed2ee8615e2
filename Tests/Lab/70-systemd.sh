# shellcheck shell=bash
# lab: full
# lab: deadline=240
# Under systemd and udev: the unit, its control groups, the names of udev.

disk0=$(nvme_address 0)

as_a_unit() {
  configure "$(device_entry disk0 "$disk0")"
  systemctl start bulkhead
  systemctl is-active bulkhead
  eventually 30 is_in_state disk0 running
  systemctl status bulkhead --no-pager | cat
  [ -f "/sys/fs/cgroup/system.slice/bulkhead.service/$disk0/driver/memory.max" ] || fail "not in the unit's group"
  [ "$(cat "/sys/fs/cgroup/system.slice/bulkhead.service/$disk0/driver/memory.max")" = 67108864 ] || fail "no memory limit"
  grep -qx "$(status disk0 driverPid)" "/sys/fs/cgroup/system.slice/bulkhead.service/$disk0/driver/cgroup.procs"
}
check "the unit starts, and its drivers are in groups below its own" as_a_unit

names_of_udev() {
  eventually 10 test -L "/dev/disk/by-id/bulkhead-$disk0-0"
  [ "$(readlink -f "/dev/disk/by-id/bulkhead-$disk0-0")" = "$(disk_of disk0)" ]
}
check "udev gives the disk a stable name" names_of_udev

ends() {
  systemctl reload bulkhead
  systemctl stop bulkhead
  [ "$(driver_of "$disk0")" = nvme ] || fail "with $(driver_of "$disk0")"
  ! systemctl is-failed bulkhead
  journalctl -u bulkhead --no-pager -o short-monotonic | tail -30
}
check "reload and stop" ends

refuses() {
  configure 'x = 1'
  ! systemctl start bulkhead || fail "it started"
  [ "$(systemctl show -p ExecMainStatus --value bulkhead)" = 78 ]
  [ "$(systemctl show -p NRestarts --value bulkhead)" = 0 ]
}
check "wrong configuration is not tried again" refuses
