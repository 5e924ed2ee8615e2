# shellcheck shell=bash
# lab: deadline=400
# A kernel driver that does not let its device go keeps nobody waiting but that device: the disk behind it answers one
# request a second, and the kernel waits for those that are under way.

slow=$(nvme_address 0)
other=$(nvme_address 1)
# answers_slowly RATE: requests a second; 0: as fast as it can.
answers_slowly() {
  qmp block_set_io_throttle device=disk-nvme0n1 bps=0 bps_rd=0 bps_wr=0 iops="$1" iops_rd=0 iops_wr=0 >/dev/null
}
tidy() {
  answers_slowly 0
  stop_bulkheadd
}
on_exit tidy

reader_waits() { grep -q '^State:.D' "/proc/$READER/status"; }
# kernel_is_busy: with reads of the slow disk, for half a minute.
kernel_is_busy() {
  eventually 10 test -b "$(kernel_block_device "$slow")"
  answers_slowly 1
  dd if="$(kernel_block_device "$slow")" of=/dev/null bs=16M count=1 iflag=direct 2>/dev/null &
  READER=$!
  eventually 10 reader_waits
}
is_asking() { pgrep -f -- "--carry-out.*$slow" | grep .; }

others_go_on() {
  local starter
  start_disks "$(device_entry other "$other")" "$(device_entry slow "$slow" nvme 'start = "manual"')"
  kernel_is_busy
  bulkheadctl start slow &
  starter=$!
  eventually 10 is_in_state slow preparing
  eventually 10 is_asking
  # The other one has its new driver while the kernel still does not answer.
  kill_driver other
  eventually 10 is_generation other 2
  dd if="$(disk_of other)" of=/dev/null bs=4096 count=16 iflag=direct
  is_in_state slow preparing
  reader_waits || fail "the kernel was not busy: it proves nothing"
  # Somebody is told.
  is_told() { grep -F 'the kernel has needed more than 10 s to take' "$LAB_OUT/bulkheadd.log"; }
  eventually 30 is_told
  answers_slowly 0
  wait "$starter" || fail "it was not started"
  is_in_state slow running
  [ "$(driver_of "$slow")" = vfio-pci ]
}
check "the kernel does not let a disk go: others go on" others_go_on

stopped() {
  local starter stopper
  bulkheadctl stop slow
  [ "$(driver_of "$slow")" = nvme ] || fail "it is with $(driver_of "$slow")"
  kernel_is_busy
  bulkheadctl start slow &
  starter=$!
  eventually 10 is_asking
  bulkheadctl stop slow &
  stopper=$!
  eventually 10 is_in_state slow preparing-to-stop
  answers_slowly 0
  wait "$stopper" || fail "it was not stopped"
  ! wait "$starter" || fail "it was started all the same"
  is_in_state slow idle
  [ "$(driver_of "$slow")" = nvme ] || fail "it is with $(driver_of "$slow")"
  [ "$(status slow brokerRestarts)" = 0 ]
}
check "stopped while the kernel does not let it go: it is given back" stopped

# What asks the kernel ends with bulkheadd; the next one finds the device as it is.
killed() {
  kernel_is_busy
  bulkheadctl start slow &
  eventually 10 is_asking
  stop_bulkheadd KILL || true
  answers_slowly 0
  nobody_asks() { ! is_asking; }
  eventually 20 nobody_asks
  start_bulkheadd
  eventually 30 is_in_state other running
  bulkheadctl start slow
  is_in_state slow running
  bulkheadctl stop slow
  [ "$(driver_of "$slow")" = nvme ] || fail "it is with $(driver_of "$slow")"
  stop_bulkheadd
  [ "$(driver_of "$other")" = nvme ] || fail "it is with $(driver_of "$other")"
}
check "bulkheadd is killed while the kernel does not let it go" killed
