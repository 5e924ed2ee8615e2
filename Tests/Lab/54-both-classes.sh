# shellcheck shell=bash
# lab: deadline=900
# A disk and a NIC under load, each under its own driver: one driver is killed again and again, the other class does not
# notice. How much that costs the other one is measured by "make bench WORK=net-pair".

disk0=$(nvme_address 0)
on_exit stop_bulkheadd
peer_begin
hasty='restart = { delay = "20ms", max-delay = "20ms", burst = 0 }'

starts() {
  start_nic "$(nic_entry "$1" '' "$hasty")" "$(device_entry disk0 "$disk0" nvme "$hasty")"
  eventually 30 is_in_state disk0 running
}

# fio with verification on the disk, in the background.
start_disk_load() {
  fio --name=verify --filename="$(disk_of disk0)" --direct=1 --rw=randrw --bs=4k --iodepth=8 --ioengine=libaio \
    --size=48M --loops=1000 --time_based --runtime="$1" --verify=crc32c --verify_fatal=1 --verify_backlog=256 \
    --output="$LAB_WORK/fio.json" --output-format=json &
  fio_pid=$!
}
disk_load_ended() {
  wait "$fio_pid" || fail "fio: status $?"
  python3 -c "
import json
job = json.load(open('$LAB_WORK/fio.json'))['jobs'][0]
print('disk: %.0f writes and %.0f reads a second' % (job['write']['iops'], job['read']['iops']), 'error', job['error'])
assert job['error'] == 0 and job['write']['total_ios'] > 0"
}

# kills_while PROCESS DEVICE: kills the device's driver every second as long as the process runs.
kills_while() {
  local pid kills=0
  while sleep 1 && kill -0 "$1" 2>/dev/null; do
    pid=$(status "$2" driverPid)
    [ -n "$pid" ] && kill -KILL "$pid" && kills=$((kills + 1))
  done
  echo "$kills kills of the driver of $2"
  [ "$kills" -ge 5 ] || fail "only $kills kills"
}

# undisturbed DEVICE: it still has its first driver, which did nothing wrong.
undisturbed() {
  [ "$(status "$1" generation) $(status "$1" restarts) $(violations "$1" '.*')" = "1 0 0" ] ||
    fail "$1: generation $(status "$1" generation), $(status "$1" restarts) restarts, $(violations "$1" '.*') violations"
}

nic_killed() {
  start_disk_load 30
  # Its connections are what the kills hit; they end when they can.
  transfer "in" "$FAR4" 256 20 &
  kills_while "$fio_pid" nic0
  disk_load_ended
  undisturbed disk0
  wait $! || fail "the transfer did not survive"
}
disk_killed() {
  local load
  start_disk_load 30
  transfer "in" "$FAR4" 512 40 &
  load=$!
  kills_while "$load" disk0
  wait "$load" || fail "the transfer failed"
  disk_load_ended
  undisturbed nic0
}

for datapath in vhost broker; do
  long_check=check
  [ "$datapath" = vhost ] || long_check=full_check
  $long_check "$datapath: a disk and a NIC run under their drivers" starts "$datapath"
  # The disk's driver is still the first one only in this order.
  $long_check "$datapath: the NIC's driver is killed every second, the disk has no error and its first driver" nic_killed
  full_check "$datapath: the daemon starts anew" stop_bulkheadd
  full_check "$datapath: a disk and a NIC run again" starts "$datapath"
  full_check "$datapath: the disk's driver is killed every second, 512 MB over TCP arrive and the NIC has its first driver" disk_killed
  $long_check "$datapath: the daemon ends in order" stop_bulkheadd
done
