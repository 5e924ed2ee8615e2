# shellcheck shell=bash
# lab: deadline=240
# The main job in front of the reader. Run by "make demo".

disk0=$(nvme_address 0)
on_exit stop_bulkheadd

say() { printf '\n\033[1m%s\033[0m\n' "$*"; }
show() {
  printf '$ %s\n' "$*"
  "$@"
}

say "1. The PCI devices of this machine, with their IOMMU groups"
list_devices() {
  local path address
  for path in /sys/bus/pci/devices/*; do
    address=${path##*/}
    printf 'group %-3s %s\n' "$(group_of "$address")" "$(lspci -D -nn -s "$address")"
  done
}
list_devices

say "2. bulkheadd takes the NVMe disk at $disk0 and runs its driver in a jail"
take_the_disk() {
  configure "$(device_entry scratch "$disk0" nvme 'restart = { delay = "50ms" }')"
  cat /etc/bulkhead/bulkhead.toml
  start_bulkheadd
  eventually 30 is_in_state scratch running
  show bulkheadctl list
}
check "the disk runs under its own driver process" take_the_disk

say "3. 64 MB of random data to ext4 on it, and kill -9 of the driver in the middle"
kill_in_the_middle() {
  local disk before writer generation
  disk=$(disk_of scratch)
  show mkfs.ext4 -qF "$disk"
  mkdir -p /mnt
  show mount "$disk" /mnt
  dd if=/dev/urandom of="$LAB_WORK/noise" bs=1M count=64 status=none
  before=$(sha256sum <"$LAB_WORK/noise")
  generation=$(status scratch generation)
  echo "\$ dd of=/mnt/data bs=1M conv=fsync < 64 MB &"
  dd if="$LAB_WORK/noise" of=/mnt/data bs=1M conv=fsync status=none &
  writer=$!
  sleep 0.7
  [ -d "/proc/$writer" ] || fail "the write was over before the kill"
  show kill -9 "$(status scratch driverPid)"
  wait "$writer" || fail "the write failed"
  eventually 10 is_generation scratch $((generation + 1))
  echo "the write finished without an error; the driver is now number $(status scratch generation)"
  show umount /mnt
  echo 3 >/proc/sys/vm/drop_caches
  show mount "$disk" /mnt
  [ "$before" = "$(sha256sum </mnt/data)" ] || fail "another hash after the remount"
  echo "sha256 after the remount: the same"
  show umount /mnt
  show e2fsck -fn "$disk"
}
check "the write finishes, the hash is right, e2fsck is clean" kill_in_the_middle
stop_bulkheadd

say "4. A hostile driver on the same disk aims its DMA at another process's memory"
canary_begin
aim_at_the_canary() {
  echo "the canary is at physical address $CANARY_ADDRESS"
  configure "$(device_entry scratch "$disk0" hostile "options = { attack = \"dma-write\", address = \"$CANARY_ADDRESS\" }
violations = { dma-fault = \"quarantine\" }")"
  cat /etc/bulkhead/bulkhead.toml
  start_bulkheadd
  eventually 30 is_in_state scratch quarantined
  dmesg | grep 'DMAR' | tail -2
  show bulkheadctl status scratch
  [ "$(violations scratch dma-fault)" -gt 0 ] || fail "no fault was counted"
  [ "$(status scratch dmaFault.device)" = "$disk0" ] || fail "the fault is not attributed to $disk0"
  [ "$(canary_verdict)" = intact ] || fail "THE CANARY CHANGED"
  echo "the canary: intact"
}
check "the IOMMU refuses it, the fault has a name, the canary is unchanged" aim_at_the_canary
stop_bulkheadd

say "5. Afterwards"
given_back() {
  eventually 10 test "$(driver_of "$disk0")" = nvme
  show lspci -D -k -s "$disk0"
}
check "the kernel's own driver has the disk again" given_back

say "Summary"
sed -E 's/.*"test":"([^"]*)","outcome":"([a-z]*)".*/  \2: \1/' "$LAB_OUT/results.jsonl"
echo "Shown on an emulated NVMe controller and IOMMU (QEMU), with Debian's stock kernel $(uname -r)."
