# shellcheck shell=bash
# lab: full
# lab: effort=full
# lab: deadline=600
# "When something is wrong" of docs/administrators.md, step by step as it is written there. What it says of bulkheadd that
# is broken is in 70-systemd.sh.

disk0=$(nvme_address 0)
tidy() {
  umount -l /mnt/scratch 2>/dev/null
  systemctl stop bulkhead
}
on_exit tidy

serves() {
  configure "$(device_entry scratch "$disk0" nvme 'restart = { delay = "20ms", max-delay = "20ms", burst = 2 }')"
  systemctl start bulkhead
  eventually 30 is_in_state scratch running
  mkfs.ext4 -q -F /dev/bulkhead/scratch
  mkdir -p /mnt/scratch
  mount /dev/bulkhead/scratch /mnt/scratch
  head -c 4M /dev/urandom >/mnt/scratch/before
  sync
  sha256sum </mnt/scratch/before >"$LAB_WORK/before"
}

settled() { is_in_state scratch running || is_in_state scratch quarantined; }
# Its driver is killed until nobody tries again.
loses_its_drivers() {
  until is_in_state scratch quarantined; do
    eventually 20 settled
    is_in_state scratch quarantined || kill_driver scratch
  done
}

# starts_to_write: WRITER is a process that waits for the disk.
starts_to_write() {
  dd if=/dev/urandom of=/mnt/scratch/during bs=64k count=16 oflag=direct 2>"$LAB_WORK/dd" &
  WRITER=$!
  waits() { grep -q '^State:.D' "/proc/$WRITER/status"; }
  eventually 20 waits
}
cannot_be_killed() {
  kill -KILL "$WRITER"
  sleep 1
  waits || fail "it did not wait: $(cat "$LAB_WORK/dd")"
}

quarantined() {
  local since
  loses_its_drivers
  starts_to_write
  # 1
  bulkheadctl status scratch | tee "$LAB_WORK/status"
  grep -q 'quarantined' "$LAB_WORK/status"
  journalctl -u bulkhead --no-pager | grep scratch | tail -5
  # "the device has no driver, stays out of the kernel's hands, and keeps its outlet: ... nothing has failed"
  [ "$(driver_of "$disk0")" = vfio-pci ] || fail "it is with $(driver_of "$disk0")"
  waits || fail "the writer does not wait: $(cat "$LAB_WORK/dd")"
  # 2
  bulkheadctl restart scratch
  wait "$WRITER" || fail "the writer failed: $(cat "$LAB_WORK/dd")"
  [ "$(status scratch restarts)" -ge 2 ]
  # A fresh count: one death is nothing yet.
  since=$(status scratch generation)
  kill_driver scratch
  eventually 20 is_generation scratch $((since + 1))
}
given_up() {
  loses_its_drivers
  # 3
  ! bulkheadctl stop scratch || fail "it was stopped under a file system"
  is_in_state scratch quarantined
  bulkheadctl restart scratch
  umount /mnt/scratch
  loses_its_drivers
  bulkheadctl stop scratch
  [ "$(driver_of "$disk0")" = nvme ] || fail "it is with $(driver_of "$disk0")"
  eventually 10 test -b "$(kernel_block_device "$disk0")"
  mount "$(kernel_block_device "$disk0")" /mnt/scratch
  sha256sum </mnt/scratch/before | cmp - "$LAB_WORK/before"
  umount /mnt/scratch
  # 4
  configure "$(device_entry scratch "$disk0" nvme 'start = "manual"')"
  systemctl restart bulkhead
  eventually 20 is_in_state scratch idle
  [ "$(driver_of "$disk0")" = nvme ] || fail "it was taken all the same"
  bulkheadctl start scratch
  mount /dev/bulkhead/scratch /mnt/scratch
}
broker_dies() {
  local generation
  generation=$(status scratch brokerRestarts)
  kill -KILL "$(status scratch brokerPid)"
  dd if=/dev/urandom of=/mnt/scratch/during bs=64k count=16 oflag=direct
  [ "$(status scratch brokerRestarts)" = $((generation + 1)) ]
}
hangs() {
  # 1: it does not answer.
  kill -STOP "$(status scratch driverPid)"
  starts_to_write
  bulkheadctl restart scratch
  wait "$WRITER" || fail "the writer failed: $(cat "$LAB_WORK/dd")"
}
forced() {
  configure "$(device_entry scratch "$disk0" nvme 'restart = { delay = "20ms", max-delay = "20ms", burst = 2 }')"
  systemctl reload bulkhead
  loses_its_drivers
  # 2
  starts_to_write
  cannot_be_killed
  # 3
  bulkheadctl stop --force scratch
  ! wait "$WRITER" || fail "nothing failed"
  umount -l /mnt/scratch
  [ "$(driver_of "$disk0")" = nvme ] || fail "it is with $(driver_of "$disk0")"
  eventually 10 test -b "$(kernel_block_device "$disk0")"
  e2fsck -fy "$(kernel_block_device "$disk0")" || [ $? = 1 ]
  mount "$(kernel_block_device "$disk0")" /mnt/scratch
  sha256sum </mnt/scratch/before | cmp - "$LAB_WORK/before"
  umount /mnt/scratch
}
check "a disk serves" serves
check "quarantined: its users wait, and restart goes on as if nothing had been" quarantined
check "quarantined again: it is given back, and stays so" given_up
check "the broker is dead: nothing to do" broker_dies
check "the disk hangs: restart" hangs
check "the disk hangs: stop --force fails what waits, and the file system is whole" forced
