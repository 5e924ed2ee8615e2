# shellcheck shell=bash
# lab: deadline=500
# A driver that uses its device against the machine.

disk0=$(nvme_address 0)
disk1=$(nvme_address 1)
on_exit stop_bulkheadd
canary_begin

attack() { device_entry disk0 "$disk0" hostile "options = { attack = \"$1\"$3 }"$'\n'"restart = { delay = \"100ms\" }"$'\n'"$2"; }
neighbour=$(device_entry disk1 "$disk1")

start_neighbour_work() {
  fio --name=neighbour --filename="$(disk_of disk1)" --direct=1 --rw=randwrite --bs=4k --iodepth=8 --ioengine=libaio \
    --size=64M --time_based --runtime=15 --verify=crc32c --verify_backlog=64 --output="$LAB_WORK/fio.json" \
    --output-format=json &
}

faults_are_attributed() {
  start_disks "$neighbour" "$(attack dma-write 'violations = { dma-fault = "restart" }' ", address = \"$CANARY_ADDRESS\"")"
  start_neighbour_work
  fault_seen() { [ "$(violations disk0 dma-fault)" -gt 0 ]; }
  eventually 30 fault_seen
  [ "$(canary_verdict)" = intact ] || fail "the canary changed"
  dmesg | grep -E 'DMAR.*\[DMA (Write|Read).*\[01:00\.0\].*fault addr' | tail -1
  bulkheadctl status disk0 | tee "$LAB_WORK/status.txt"
  grep -F "$disk0" "$LAB_WORK/status.txt"
  [ "$(status disk0 dmaFault.device)" = "$disk0" ] || fail "attributed to $(status disk0 dmaFault.device)"
  restarted() { [ "$(status disk0 restarts)" -gt 0 ]; }
  eventually 20 restarted
}
check "DMA outside the arenas is refused, logged, attributed and counted; the driver is restarted" faults_are_attributed

undisturbed() {
  # The job was started by another check's shell, so its report is waited for, not the process.
  eventually 40 test -s "$LAB_WORK/fio.json"
  eventually 20 python3 -c "
import json
job = json.load(open('$LAB_WORK/fio.json'))['jobs'][0]
print('neighbour:', job['write']['total_ios'], 'writes')
assert job['error'] == 0 and job['write']['total_ios'] > 0"
  [ "$(status disk1 generation)" = 1 ] || fail "the neighbour's driver was restarted"
  [ "$(status disk1 restarts)" = 0 ] || fail "the neighbour's driver was restarted"
}
check "the other controller, under its own driver, is undisturbed" undisturbed
stop_bulkheadd

reading_is_refused_too() {
  start_disks "$neighbour" "$(attack dma-read 'violations = { dma-fault = "quarantine" }' ", address = \"$CANARY_ADDRESS\"")"
  eventually 30 is_in_state disk0 quarantined
  [ "$(violations disk0 dma-fault)" -gt 0 ] || fail "no fault was counted"
  [ -z "$(status disk0 driverPid)" ] || fail "a quarantined device has a driver"
  [ "$(canary_verdict)" = intact ] || fail "the canary changed"
  is_in_state disk1 running
}
check "by policy the device is quarantined; its neighbour goes on" reading_is_refused_too
stop_bulkheadd

# attack NAME, expected violation
lies_are_counted() {
  start_disks "$neighbour" "$(attack "$1" 'violations = { tolerate = 0, then = "quarantine" }' "${3:-}")"
  # Some attacks wait for a request: a reader that may hang until the device is stopped.
  (timeout 20 dd if="$(disk_of disk0)" of=/dev/null bs=4k count=64 iflag=direct status=none || true) &
  seen() { [ "$(violations disk0 "$1")" -gt 0 ]; }
  eventually 30 seen "$2" || { bulkheadctl status disk0; tail -n 30 "$LAB_OUT/bulkheadd.log"; fail "no $2"; }
  eventually 20 is_in_state disk0 quarantined
  is_in_state disk1 running
  stop_bulkheadd
}
check "completions that were never asked for are counted, and have their consequence" lies_are_counted completions completion-unknown
check "bytes that are no message are counted, and have their consequence" lies_are_counted messages malformed-message
check "a flood of messages is cut off" lies_are_counted flood 'message-flood|illegal-transition'
check "config space that is not on the list is denied" lies_are_counted config config-denied
