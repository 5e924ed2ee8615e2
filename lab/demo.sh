# shellcheck shell=bash
# lab: deadline=360
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

say "5. The NIC at $(e1000e_address): its driver in a jail, the interface bh0 for everybody"
peer_begin
take_the_nic() {
  configure "$(nic_entry auto '' 'restart = { delay = "50ms" }')"
  cat /etc/bulkhead/bulkhead.toml
  start_bulkheadd
  eventually 30 is_in_state nic0 running
  show ip addr add "$NEAR4/24" dev bh0
  show ip link set bh0 up
  eventually 10 has_carrier
  show ip addr show bh0
  show bulkheadctl status nic0
  show ping -c 3 -i 0.3 "$FAR4"
  # 64 MB each way to the in-kernel NIC at the other end of the wire; hashes are taken at both ends.
  transfer both "$FAR4" 64
}
check "the interface carries TCP both ways, the hashes are equal" take_the_nic

say "6. kill -9 of the NIC's driver while ping runs"
kill_under_ping() {
  local pinging generation index
  generation=$(status nic0 generation)
  index=$(cat /sys/class/net/bh0/ifindex)
  echo "\$ ping -i 0.2 -c 25 $FAR4 &"
  ping -i 0.2 -c 25 "$FAR4" >"$LAB_WORK/ping" &
  pinging=$!
  sleep 2
  show kill -9 "$(status nic0 driverPid)"
  wait "$pinging" || true
  tail -n 4 "$LAB_WORK/ping"
  eventually 10 is_generation nic0 $((generation + 1))
  grep -q 'icmp_seq=25 ' "$LAB_WORK/ping" || fail "the last ping was not answered"
  [ "$(cat /sys/class/net/bh0/ifindex)" = "$index" ] || fail "bh0 is another interface now"
  echo "the same interface, with its address; the driver is now number $(status nic0 generation)"
  show ip addr show bh0
}
check "ping goes on, the interface is the same" kill_under_ping
stop_bulkheadd

say "7. Afterwards"
given_back() {
  eventually 10 test "$(driver_of "$disk0")" = nvme
  eventually 10 test "$(driver_of "$(e1000e_address)")" = e1000e
  show lspci -D -k -s "$disk0"
  show lspci -D -k -s "$(e1000e_address)"
}
check "the kernel's own drivers have the disk and the NIC again" given_back

say "Summary"
sed -E 's/.*"test":"([^"]*)","outcome":"([a-z]*)".*/  \2: \1/' "$LAB_OUT/results.jsonl"
echo "Shown on an emulated NVMe controller, e1000e and IOMMU (QEMU), with Debian's stock kernel $(uname -r)."
