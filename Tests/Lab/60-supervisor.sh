# shellcheck shell=bash
# lab: deadline=500
# The supervisor itself: in use, reload, unplugging, a crash, monitor.

disk0=$(nvme_address 0)
disk1=$(nvme_address 1)
on_exit stop_bulkheadd

in_use() {
  local status=0
  start_disks "$(device_entry disk0 "$disk0")"
  mkfs.ext4 -qF "$(disk_of disk0)"
  mkdir -p "$LAB_WORK/mnt"
  mount /dev/bulkhead/disk0 "$LAB_WORK/mnt"
  bulkheadctl stop disk0 2>"$LAB_WORK/err" || status=$?
  cat "$LAB_WORK/err"
  [ "$status" = 6 ] || fail "status $status"
  grep -qF "$LAB_WORK/mnt" "$LAB_WORK/err" || fail "the mount point is not named"
  is_in_state disk0 running
}
check "a mounted disk is not stopped, and the mount point is named" in_use

# reload_with ENTRY...: and until bulkheadd has read it.
reload_with() {
  local mark
  mark=$(wc -l <"$LAB_OUT/bulkheadd.log")
  configure "$@"
  kill -HUP "$(bulkheadd_pid)"
  has_read() { tail -n "+$((mark + 1))" "$LAB_OUT/bulkheadd.log" | grep -q 'configuration read: '; }
  eventually 10 has_read
}

not_from_under() {
  reload_with "# nothing"
  sleep 1
  is_in_state disk0 running
  tail -n 5 "$LAB_OUT/bulkheadd.log" | grep -F "$LAB_WORK/mnt" | grep -F 'no longer in the configuration'
  echo safe >"$LAB_WORK/mnt/word"
  sync -f "$LAB_WORK/mnt"
  reload_with "$(device_entry disk0 "$disk0")"
  umount "$LAB_WORK/mnt"
  reload_with "# nothing"
  gone() { ! bulkheadctl list --no-legend | grep -q disk0; }
  eventually 30 gone
  [ "$(driver_of "$disk0")" = nvme ]
  reload_with "$(device_entry disk0 "$disk0")"
  eventually 30 is_in_state disk0 running
  mount /dev/bulkhead/disk0 "$LAB_WORK/mnt"
  [ "$(cat "$LAB_WORK/mnt/word")" = safe ]
  # And whoever wants it gone all the same says so.
  reload_with "# nothing"
  ! bulkheadctl stop disk0 || fail "it is stopped from under its file system"
  umount "$LAB_WORK/mnt"
  bulkheadctl stop disk0
  eventually 30 gone
  [ "$(driver_of "$disk0")" = nvme ]
  reload_with "$(device_entry disk0 "$disk0")"
  eventually 30 is_in_state disk0 running
  mount /dev/bulkhead/disk0 "$LAB_WORK/mnt"
}
check "a reload takes no disk from under its file system" not_from_under

later() {
  local generation
  generation=$(status disk0 generation)
  reload_with "$(device_entry other "$disk0" hostile)"
  tail -n 5 "$LAB_OUT/bulkheadd.log" | grep -F 'settings changed'
  # What follows a lost driver is what was lost.
  kill_driver disk0
  eventually 30 is_generation disk0 $((generation + 1))
  is_in_state disk0 running
  [ "$(status disk0 driver)" = nvme ]
  # Said once, not at each reload.
  reload_with "$(device_entry other "$disk0" hostile)"
  ! tail -n 2 "$LAB_OUT/bulkheadd.log" | grep -F 'settings changed' || fail "it is said again"
  # Taken back before it came into force.
  reload_with "# one line more" "$(device_entry disk0 "$disk0")"
  reload_with "$(device_entry other "$disk0")"
  umount "$LAB_WORK/mnt"
  bulkheadctl stop disk0
  [ ! -e /dev/bulkhead/disk0 ]
  bulkheadctl start other
  is_in_state other running
  [ -b /dev/bulkhead/other ]
  ! bulkheadctl status disk0 2>/dev/null || fail "the former name is still known"
  bulkheadctl stop other
  reload_with "$(device_entry disk0 "$disk0")"
  bulkheadctl start disk0
  mount /dev/bulkhead/disk0 "$LAB_WORK/mnt"
}
check "another name and driver wait until the device is stopped and started" later

crash() {
  local before
  before=$(disk_of disk0)
  dd if=/dev/urandom of="$LAB_WORK/mnt/file" bs=1M count=8 conv=fsync status=none
  sha256sum "$LAB_WORK/mnt/file" >"$LAB_WORK/sum"
  stop_bulkheadd KILL
  start_bulkheadd
  eventually 60 is_in_state disk0 running
  [ "$(disk_of disk0)" = "$before" ] || fail "the disk is now $(disk_of disk0)"
  echo 3 >/proc/sys/vm/drop_caches
  sha256sum -c "$LAB_WORK/sum"
  dd if=/dev/urandom of="$LAB_WORK/mnt/file2" bs=1M count=8 conv=fsync status=none
  umount "$LAB_WORK/mnt"
  e2fsck -fn "$(disk_of disk0)"
}
check "kill -9 of bulkheadd: the next one takes the mounted disk up" crash

monitored() {
  start_monitor timeout 120 bulkheadctl monitor
  bulkheadctl restart disk0
  is_in_state disk0 running
  [ "$(status disk0 restarts)" = 0 ] || fail "an operator's restart counts as a failure"
  eventually 5 grep -q 'running -> cycling-driver' "$LAB_WORK/monitor"
}
check "restart is orderly, and monitor tells of it" monitored

reload() {
  configure "$(device_entry disk0 "$disk0"; device_entry disk1 "$disk1")"
  kill -HUP "$(bulkheadd_pid)"
  eventually 30 is_in_state disk1 running
  configure "$(device_entry disk0 "$disk0"; echo 'x = [')"
  kill -HUP "$(bulkheadd_pid)"
  sleep 1
  is_in_state disk1 running
  configure "$(device_entry disk0 "$disk0")"
  kill -HUP "$(bulkheadd_pid)"
  kernel_has_it() { [ "$(driver_of "$disk1")" = nvme ]; }
  eventually 30 kernel_has_it
  is_in_state disk0 running
}
check "reload takes new devices, gives removed ones back, and survives mistakes" reload

crash_and_removed() {
  stop_bulkheadd KILL
  configure "# nothing"
  start_bulkheadd
  kernel_has_it() { [ "$(driver_of "$disk0")" = nvme ]; }
  eventually 30 kernel_has_it
  [ -z "$(ls /run/bulkhead/state)" ] || fail "records are left: $(ls /run/bulkhead/state)"
  stop_bulkheadd
}
check "what a crashed bulkheadd had and the next one is not to have is given back" crash_and_removed

unplugged() {
  configure "$(device_entry disk0 "$disk0"; printf '[[device]]\nname = "hot"\naddress = "0000:06:00.0"\ndriver = "nvme"\n')"
  start_bulkheadd
  eventually 30 is_in_state disk0 running
  is_in_state hot absent
  truncate -s 64M /tmp/hot.img 2>/dev/null || true
  qmp blockdev-add driver=null-co node-name=hotnode size=67108864 read-zeroes=true || skip "no null block device"
  qmp device_add driver=nvme id=nvme-hot serial=HOT drive=hotnode bus=port-spare0
  eventually 30 is_in_state hot running
  bulkheadctl list
  qmp --wait DEVICE_DELETED device_del id=nvme-hot
  eventually 60 is_in_state hot absent
  is_in_state disk0 running
}
check "a device that is plugged in starts; unplugged, it goes away cleanly" unplugged
