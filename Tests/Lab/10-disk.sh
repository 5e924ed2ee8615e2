# shellcheck shell=bash
# lab: deadline=400
# The main job: an NVMe disk driven by a jailed process, served through NBD.

disk0=$(nvme_address 0)
disk1=$(nvme_address 1)
on_exit stop_bulkheadd

starts() {
  start_disks "$(device_entry disk0 "$disk0")" \
    "$(device_entry disk1 "$disk1" nvme 'outlet = { namespaces = "all", connections = 2 }')"
  eventually 30 is_in_state disk1 running
  bulkheadctl list
  bulkheadctl list | grep -E "$disk0 .*disk0 .*nvme .*running"
}
check "both controllers run under their drivers" starts

knows_the_disk() {
  [ "$(blockdev --getsize64 "$(disk_of disk0)")" = $((512 << 20)) ] || fail "size of $(disk_of disk0)"
  [ "$(blockdev --getss "$(disk_of disk0)")" = 512 ] || fail "block size of namespace 1 of disk0"
  [ "$(blockdev --getss "$(disk_of disk1 0)")" = 4096 ] || fail "block size of namespace 1 of disk1"
  [ "$(blockdev --getss "$(disk_of disk1 1)")" = 512 ] || fail "block size of namespace 2 of disk1"
  [ "$(readlink -f /dev/bulkhead/disk0)" = "$(disk_of disk0)" ] || fail "/dev/bulkhead/disk0"
  bulkheadctl status disk0 | grep BULKHEAD0
}
check "sizes, block sizes and names are the device's" knows_the_disk

# Writes noise, forgets every cache, compares.
noise_survives() {
  local device=$1 megabytes=$2
  dd if=/dev/urandom of="$LAB_WORK/noise" bs=1M count="$megabytes" status=none
  dd if="$LAB_WORK/noise" of="$device" bs=1M oflag=direct conv=fsync status=none
  echo 3 >/proc/sys/vm/drop_caches
  cmp -n $((megabytes << 20)) "$LAB_WORK/noise" "$device"
}
check "noise survives on 512-byte blocks" noise_survives "$(disk_of disk0)" 48
check "noise survives on 4096-byte blocks" noise_survives "$(disk_of disk1 0)" 24
check "noise survives on the second namespace" noise_survives "$(disk_of disk1 1)" 24

a_file_system() {
  local disk before
  disk=$(disk_of disk0)
  mkfs.ext4 -qF "$disk"
  mkdir -p "$LAB_WORK/mnt"
  mount "$disk" "$LAB_WORK/mnt"
  dd if=/dev/urandom of="$LAB_WORK/mnt/file" bs=1M count=32 conv=fsync status=none
  before=$(sha256sum <"$LAB_WORK/mnt/file")
  umount "$LAB_WORK/mnt"
  echo 3 >/proc/sys/vm/drop_caches
  mount "$disk" "$LAB_WORK/mnt"
  [ "$before" = "$(sha256sum <"$LAB_WORK/mnt/file")" ] || fail "another hash after the remount"
  umount "$LAB_WORK/mnt"
  e2fsck -fn "$disk"
}
check "an ext4 file system is made, written, remounted and checked" a_file_system

trim_and_zero() {
  local disk
  disk=$(disk_of disk0)
  dd if=/dev/urandom of="$disk" bs=1M count=8 oflag=direct status=none
  blkdiscard -o $((1 << 20)) -l $((1 << 20)) "$disk"
  blkdiscard -z -o $((4 << 20)) -l $((2 << 20)) "$disk"
  cmp -n $((2 << 20)) -i $((4 << 20)):0 "$disk" /dev/zero
  ! cmp -s -n 4096 -i $((3 << 20)):0 "$disk" /dev/zero || fail "zeroes where none were written"
}
check "discard and write zeroes do what they say" trim_and_zero

over_the_socket() {
  local uri="nbd+unix:///?socket=/run/bulkhead/nbd/disk0.sock"
  nbdinfo --size "$uri" | grep -x $((512 << 20))
  nbdinfo "$uri" | grep -E 'can_flush: true|can_fua: true'
  qemu-io -f raw -c 'write -P 0x5a 100M 1M' -c 'flush' -c 'read -P 0x5a 100M 1M' "$uri" | tee "$LAB_WORK/qemu-io"
  ! grep -i -E 'fail|error' "$LAB_WORK/qemu-io" || fail "qemu-io"
  nbdinfo --list "nbd+unix:///?socket=/run/bulkhead/nbd/disk1.sock" | grep ns2
}
check "any NBD client is served on the Unix socket" over_the_socket

gives_back() {
  bulkheadctl stop disk0
  eventually 10 test "$(driver_of "$disk0")" = nvme
  eventually 10 test -b "$(kernel_block_device "$disk0")"
  [ "$(cat "/sys/bus/pci/devices/$disk0/driver_override")" = "(null)" ] || fail "the override stays"
  cmp -n $((1 << 20)) -i $((100 << 20)):0 "$(kernel_block_device "$disk0")" <(tr '\0' '\132' </dev/zero | head -c 1M)
  bulkheadctl start disk0
  is_in_state disk0 running
}
check "stop gives the device back to the kernel, with its data; start takes it again" gives_back

stops_in_order() {
  stop_bulkheadd
  [ "$(driver_of "$disk0") $(driver_of "$disk1")" = "nvme nvme" ] || fail "a device was not given back"
  [ -z "$(pids_of bulkhead-broker)$(pids_of udriver-nvme)" ] || fail "processes are left"
  [ "$(blockdev --getsize64 /dev/nbd0)" = 0 ] || fail "/dev/nbd0 is still connected"
}
check "the daemon stops in order and leaves nothing behind" stops_in_order
