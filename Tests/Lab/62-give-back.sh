# shellcheck shell=bash
# lab: deadline=400
# "bulkheadd --give-back": what a bulkheadd that does not start any more has left behind.

disk0=$(nvme_address 0)
nic=$(e1000e_address)
tidy() {
  umount -l "$LAB_WORK/mnt" 2>/dev/null
  stop_bulkheadd
}
on_exit tidy

# refuses WORDS...: with status 1, and says each of WORDS on standard error.
refuses() {
  local status=0 word
  bulkheadd --give-back >"$LAB_WORK/out" 2>"$LAB_WORK/err" || status=$?
  cat "$LAB_WORK/err"
  [ "$status" = 1 ] || fail "status $status"
  [ ! -s "$LAB_WORK/out" ] || fail "diagnostics on stdout"
  for word; do grep -qF -- "$word" "$LAB_WORK/err" || fail "does not say: $word"; done
}
leave_behind() {
  start_disks "$(device_entry scratch "$disk0")" "$(nic_entry)"
  eventually 30 is_in_state nic0 running
  refuses 'another bulkheadd'
  is_in_state scratch running
  mkfs.ext4 -qF /dev/bulkhead/scratch
  mkdir -p "$LAB_WORK/mnt"
  mount /dev/bulkhead/scratch "$LAB_WORK/mnt"
  status scratch brokerPid >"$LAB_WORK/broker"
  status scratch driverPid >"$LAB_WORK/driver"
  stop_bulkheadd KILL || true
}
check "not while bulkheadd runs" leave_behind

in_use() {
  refuses "is mounted on $LAB_WORK/mnt" 'unmount it first'
  [ "$(driver_of "$nic")" = vfio-pci ] || fail "the card was touched"
  kill -0 "$(cat "$LAB_WORK/broker")" "$(cat "$LAB_WORK/driver")"
  echo served >"$LAB_WORK/mnt/word"
  sync -f "$LAB_WORK/mnt"
}
check "not a disk that is mounted, nor anything else then" in_use

given_back() {
  local left
  umount "$LAB_WORK/mnt"
  bulkheadd --give-back 2>&1 | tee "$LAB_WORK/out"
  grep -F '2 devices were given back' "$LAB_WORK/out"
  lab_gone "$(cat "$LAB_WORK/broker")" || fail "its broker goes on"
  lab_gone "$(cat "$LAB_WORK/driver")" || fail "its driver goes on"
  [ "$(driver_of "$disk0") $(driver_of "$nic")" = "nvme e1000e" ] || fail "$(driver_of "$disk0") $(driver_of "$nic")"
  [ ! -e /dev/bulkhead/scratch ] || fail "the link is left"
  [ ! -e /sys/class/net/bh0 ] || fail "the interface is left"
  left=$(find /run/bulkhead -type s)
  [ -z "$left" ] || fail "sockets are left: $left"
  [ -z "$(ls /run/bulkhead/state)" ] || fail "left: $(ls /run/bulkhead/state)"
  eventually 10 test -b "$(kernel_block_device "$disk0")"
  mount "$(kernel_block_device "$disk0")" "$LAB_WORK/mnt"
  [ "$(cat "$LAB_WORK/mnt/word")" = served ]
  umount "$LAB_WORK/mnt"
  # And again: there is nothing.
  bulkheadd --give-back
}
check "everything is given back, with what was written" given_back

forced() {
  start_bulkheadd
  eventually 30 is_in_state scratch running
  mount /dev/bulkhead/scratch "$LAB_WORK/mnt"
  stop_bulkheadd KILL || true
  bulkheadd --give-back --force
  [ "$(driver_of "$disk0")" = nvme ] || fail "it is with $(driver_of "$disk0")"
  umount -l "$LAB_WORK/mnt"
  ! bulkheadd --force 2>"$LAB_WORK/err" || fail "--force alone"
  grep -F -- '--give-back' "$LAB_WORK/err"
}
check "with --force a mounted one, too" forced
