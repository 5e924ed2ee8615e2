# shellcheck shell=bash
# lab: deadline=800
# Drivers and brokers die and hang under load; the block device never shows it.

disk0=$(nvme_address 0)
on_exit stop_bulkheadd
start_disks "$(device_entry disk0 "$disk0" nvme 'restart = { delay = "50ms", burst = 100 }
heartbeat = { interval = "500ms", timeout = "2s" }')"
RANDOM=${SEED:-20261121}
echo "seed ${SEED:-20261121}"

# fio with verification on the disk, in the background; $1: seconds.
start_verify() {
  fio --name=verify --filename="$(disk_of disk0)" --direct=1 --rw=randrw --bs=4k --iodepth=16 --ioengine=libaio \
    --size=48M --loops=1000 --time_based --runtime="$1" --verify=crc32c --verify_fatal=1 --verify_backlog=256 \
    --output="$LAB_WORK/fio.json" --output-format=json &
  fio_pid=$!
}
# Waits for it and holds its report to no error.
verified() {
  wait "$fio_pid" || fail "fio: status $?"
  python3 -c "
import json
job = json.load(open('$LAB_WORK/fio.json'))['jobs'][0]
print('writes', job['write']['total_ios'], 'reads', job['read']['total_ios'], 'error', job['error'])
assert job['error'] == 0 and job['write']['total_ios'] > 0"
  # Since this scenario began.
  ! lab_kernel_log | grep -E 'I/O error.*nbd0' || fail "the kernel saw an error"
}

killed_at_random() {
  local generation
  start_verify 25
  for round in 1 2 3 4 5 6; do
    sleep "$((RANDOM % 3)).$((RANDOM % 10))"
    generation=$(status disk0 generation)
    kill_driver disk0
    eventually 10 is_generation disk0 $((generation + 1))
    echo "round $round: generation $(status disk0 generation)"
  done
  verified
  [ "$(status disk0 counters.replayed)" -gt 0 ] || fail "no request was replayed: the kills hit nothing"
}
check "kill -9 of the driver at six random moments under fio --verify" killed_at_random

stopped() {
  local generation
  start_verify 20
  sleep 2
  generation=$(status disk0 generation)
  kill_driver disk0 STOP
  eventually 15 is_generation disk0 $((generation + 1))
  verified
}
check "SIGSTOP of the driver is noticed by the heartbeat, and the driver replaced" stopped

broker_killed() {
  local before
  before=$(disk_of disk0)
  start_verify 20
  sleep 2
  kill -KILL "$(status disk0 brokerPid)"
  new_broker() { [ "$(status disk0 brokerRestarts)" -ge 1 ] && is_in_state disk0 running; }
  eventually 20 new_broker
  [ "$(disk_of disk0)" = "$before" ] || fail "the disk is now $(disk_of disk0)"
  verified
}
check "kill -9 of the broker: a new one takes the same block device up" broker_killed

on_a_file_system() {
  local disk before
  disk=$(disk_of disk0)
  mkfs.ext4 -qF "$disk"
  mkdir -p "$LAB_WORK/mnt"
  mount "$disk" "$LAB_WORK/mnt"
  dd if=/dev/urandom of="$LAB_WORK/noise" bs=1M count=64 status=none
  before=$(sha256sum <"$LAB_WORK/noise")
  dd if="$LAB_WORK/noise" of="$LAB_WORK/mnt/file" bs=1M conv=fsync status=none &
  writer=$!
  sleep 0.5
  kill_driver disk0
  wait "$writer" || fail "the write failed"
  umount "$LAB_WORK/mnt"
  mount "$disk" "$LAB_WORK/mnt"
  [ "$before" = "$(sha256sum <"$LAB_WORK/mnt/file")" ] || fail "another hash"
  umount "$LAB_WORK/mnt"
  e2fsck -fn "$disk"
}
check "kill -9 in the middle of 64 MB to ext4: the hash is right, e2fsck is clean" on_a_file_system

crashes_for_ever() {
  local reader
  stop_bulkheadd
  start_disks "$(device_entry disk0 "$disk0" nvme 'restart = { delay = "10ms", max-delay = "20ms", burst = 3, interval = "60s" }')"
  for round in 1 2 3 4; do
    eventually 20 is_in_state disk0 running
    kill_driver disk0
    echo "round $round"
    sleep 0.5
  done
  eventually 20 is_in_state disk0 quarantined
  # Longer than the 30 s after which the kernel looks for stuck requests.
  dd if="$(disk_of disk0)" of=/dev/null bs=64k count=16 iflag=direct status=none &
  reader=$!
  sleep 40
  [ -d "/proc/$reader" ] || fail "the read did not wait"
  bulkheadctl restart disk0
  eventually 20 is_in_state disk0 running
  wait "$reader" || fail "the read failed"
}
full_check "a driver that keeps dying is quarantined; requests wait; restart is the way out" crashes_for_ever
