# shellcheck shell=bash
# lab: deadline=240
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
  timeout 30 bulkheadctl monitor >"$LAB_WORK/monitor" &
  sleep 1
  bulkheadctl restart disk0
  is_in_state disk0 running
  [ "$(status disk0 restarts)" = 0 ] || fail "an operator's restart counts as a failure"
  grep -q 'running -> cycling-driver' "$LAB_WORK/monitor"
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
