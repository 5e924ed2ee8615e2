# shellcheck shell=bash
# lab: deadline=500
# What is refused, and what is said about it. Nothing that is refused changes a device.

disk0=$(nvme_address 0)
disk1=$(nvme_address 1)
on_exit stop_bulkheadd

# Every device with its driver and override: must be the same after each refusal.
devices_as_they_are() {
  for path in /sys/bus/pci/devices/*; do
    echo "${path##*/} $(driver_of "${path##*/}") $(cat "$path/driver_override")"
  done
}
before=$(devices_as_they_are)
untouched() { [ "$(devices_as_they_are)" = "$before" ] || fail "a device was changed: $(diff <(echo "$before") <(devices_as_they_are))"; }

# refuses_configuration TEXT EXPECTED...: both the check and the daemon say each EXPECTED, exit 78 and touch nothing.
refuses_configuration() {
  local status=0 expected
  configure "$1"
  shift
  bulkheadd --check-config >"$LAB_WORK/out" 2>"$LAB_WORK/err" || status=$?
  cat "$LAB_WORK/err"
  [ "$status" = 78 ] || fail "--check-config: status $status"
  [ ! -s "$LAB_WORK/out" ] || fail "diagnostics on stdout"
  status=0
  timeout $((LAB_PATIENCE * 20)) bulkheadd >/dev/null 2>"$LAB_WORK/daemon" || status=$?
  [ "$status" = 78 ] || fail "bulkheadd: status $status"
  for expected in "bulkhead.toml:" "$@"; do
    grep -qiF -- "$expected" "$LAB_WORK/err" || fail "--check-config does not say: $expected"
    grep -qiF -- "$expected" "$LAB_WORK/daemon" || fail "bulkheadd does not say: $expected"
  done
  untouched
}
entry=$(device_entry disk0 "$disk0")
check "malformed: syntax" refuses_configuration '[[device]' ':1:'
check "malformed: unknown key" refuses_configuration "$entry"$'\ndriwer = "nvme"' ':5:' driwer '"driver"'
check "malformed: wrong type" refuses_configuration "$entry"$'\nforce = "yes"' ':5:' force true
check "malformed: bad address" refuses_configuration "$(device_entry disk0 0000:01:00.9)" ':3:' 0000:01:00.9 bulkheadctl
check "malformed: missing driver" refuses_configuration "$(device_entry disk0 "$disk0" nvmee)" ':4:' nvmee nvme
check "malformed: no driver at all" refuses_configuration '[[device]]'$'\naddress = "0000:01:00.0"' driver
check "malformed: two entries for one device" refuses_configuration "$entry"$'\n'"$(device_entry other "$disk0")" "$disk0"
check "malformed: two devices of one name" refuses_configuration "$entry"$'\n'"$(device_entry disk0 "$disk1")" disk0
check "malformed: unknown option of the driver" refuses_configuration "$entry"$'\noptions = { nosuch = 1 }' nosuch
check "malformed: several mistakes are all said" refuses_configuration "$entry"$'\nforce = 3\nstart = "now"' ':5:9' ':6:9'

# refused DEVICE CODE-OR-TEXT...: start fails with status 6, says each text, and touches nothing.
refused() {
  local device=$1 status=0 expected
  shift
  bulkheadctl start "$device" 2>"$LAB_WORK/err" || status=$?
  cat "$LAB_WORK/err"
  [ "$status" = 6 ] || fail "status $status"
  for expected in "$@" Hint; do grep -qF -- "$expected" "$LAB_WORK/err" || fail "does not say: $expected"; done
  untouched
}
manual='start = "manual"'

mounted() {
  local disk
  disk=$(kernel_block_device "$disk0")
  mkfs.ext4 -qF "$disk"
  mkdir -p "$LAB_WORK/mnt"
  mount "$disk" "$LAB_WORK/mnt"
  configure "$(device_entry disk0 "$disk0" nvme "$manual")"
  start_bulkheadd
  refused disk0 "$LAB_WORK/mnt" umount
  umount "$LAB_WORK/mnt"
}
check "a mounted disk is refused, naming the mount point" mounted

swapped() {
  local disk
  disk=$(kernel_block_device "$disk0")
  mkswap "$disk" >/dev/null
  swapon "$disk"
  refused disk0 "$disk" swapoff
  swapoff "$disk"
}
check "a disk that is swapped on is refused" swapped
stop_bulkheadd

interface_in_use() {
  local interface
  interface=$(ls "/sys/bus/pci/devices/$(e1000e_address)/net/")
  ip link set "$interface" up
  ip address add 192.0.2.1/24 dev "$interface"
  configure "$(device_entry nic "$(e1000e_address)" nvme "$manual")"
  start_bulkheadd
  refused nic "$interface"
  stop_bulkheadd
  ip address flush dev "$interface"
  ip link set "$interface" down
}
check "an interface that is up with an address is refused" interface_in_use

unsafe_interrupts() {
  local parameter=/sys/module/vfio_iommu_type1/parameters/allow_unsafe_interrupts
  echo 1 >"$parameter"
  configure "$(device_entry disk0 "$disk0" nvme "$manual"$'\nforce = true')"
  start_bulkheadd
  refused disk0 allow_unsafe_interrupts
  echo 0 >"$parameter"
  stop_bulkheadd
}
check "allow_unsafe_interrupts is refused, force or not" unsafe_interrupts

ctl_errors() {
  local status=0
  bulkheadctl list 2>"$LAB_WORK/err" || status=$?
  cat "$LAB_WORK/err"
  [ "$status" = 5 ] || fail "no daemon: status $status"
  grep -q Hint "$LAB_WORK/err" || fail "no hint"
  configure "$(device_entry disk0 "$disk0" nvme "$manual")"
  start_bulkheadd
  status=0
  bulkheadctl status 0000:7f:00.0 2>"$LAB_WORK/err" || status=$?
  [ "$status" = 3 ] || fail "unknown device: status $status"
  status=0
  bulkheadctl start 2>/dev/null || status=$?
  [ "$status" = 64 ] || fail "missing argument: status $status"
  status=0
  bulkheadctl start "$disk1" 2>"$LAB_WORK/err" || status=$?
  [ "$status" != 0 ] || fail "a device that is not configured was started"
  untouched
}
check "bulkheadctl says what was wrong, and leaves with the documented status" ctl_errors

isolation_check() {
  bulkheadctl check "$disk0" | tee "$LAB_WORK/check"
  grep -q 'IOMMU group' "$LAB_WORK/check"
  grep -qi 'remapping' "$LAB_WORK/check"
  bulkheadctl check --json | python3 -c 'import json, sys; json.load(sys.stdin)'
}
check "check explains whether a device can be isolated" isolation_check
