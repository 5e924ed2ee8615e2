# shellcheck shell=bash
# lab: own-boot
# lab: effort=full
# lab: deadline=1100
# 200 kill -9 and 50 SIGSTOP of the driver at seeded moments under the kernel's block device, and as many under ext4. At
# both, fio verifies what it wrote, and nbd-campaign holds every sector to the order of writes and flushes.

kills=${KILLS:-200} stops=${STOPS:-50} seed=${SEED:-20261121}
disk0=$(nvme_address 0)
campaign=/usr/lib/bulkhead/nbd-campaign
on_exit stop_bulkheadd
start_disks "$(device_entry disk0 "$disk0" nvme 'restart = { delay = "10ms", max-delay = "50ms", burst = 0 }
heartbeat = { interval = "100ms", timeout = "500ms" }')"
echo "seed $seed, $kills kills, $stops stops"
[ -x "$campaign" ] || fail "nbd-campaign is not installed (make install-test)"

# under_attack SEED FIO-FILE FIO-OFFSET CAMPAIGN-FILE
under_attack() {
  local fio status=0
  fio --name=verify --filename="$2" --offset="$3" --direct=1 --rw=randrw --bs=4k --iodepth=8 --ioengine=libaio \
    --size=48M --loops=100000 --time_based --runtime=1000 --verify=crc32c --verify_fatal=1 --verify_backlog=256 \
    --randseed="$1" --output="$LAB_WORK/fio.json" --output-format=json &
  fio=$!
  "$campaign" --file "$4" --size $((16 << 20)) --depth 8 --seed "$1" --deadline 60 --gap 100 \
    --control /run/bulkhead/io.bulkhead --device disk0 --kills "$kills" --stops "$stops" \
    >"$LAB_WORK/campaign.json" || status=$?
  cp "$LAB_WORK/campaign.json" "$LAB_OUT/campaign-$1.json"
  kill -INT "$fio"
  wait "$fio" || true
  cat "$LAB_WORK/campaign.json"
  [ "$status" = 0 ] || fail "nbd-campaign: status $status"
  python3 -c "
import json
summary = json.load(open('$LAB_WORK/campaign.json'))
assert summary['kills'] == $kills and summary['stops'] == $stops
# Before its report fio says that it was interrupted.
text = open('$LAB_WORK/fio.json').read()
job = json.loads(text[text.index('{'):])['jobs'][0]
print('fio: writes', job['write']['total_ios'], 'reads', job['read']['total_ios'], 'error', job['error'])
assert job['error'] == 0 and job['write']['total_ios'] > 0"
  ! lab_kernel_log | grep -E 'I/O error|EXT4-fs error|Buffer I/O' ||
    fail "the kernel saw an error"
}

on_the_block_device() {
  local disk
  disk=$(disk_of disk0)
  under_attack "$seed" "$disk" 64M "$disk"
  [ "$(status disk0 counters.replayed)" -gt 0 ] || fail "no request was replayed: the attacks hit nothing"
}
check "the block device: $kills kills and $stops stops" on_the_block_device

on_ext4() {
  local disk
  disk=$(disk_of disk0)
  mkfs.ext4 -qF "$disk"
  mkdir -p "$LAB_WORK/mnt"
  mount "$disk" "$LAB_WORK/mnt"
  : >"$LAB_WORK/mnt/campaign"
  under_attack $((seed + 1)) "$LAB_WORK/mnt/fio" 0 "$LAB_WORK/mnt/campaign"
  umount "$LAB_WORK/mnt"
  e2fsck -fn "$disk"
}
check "ext4: $kills kills and $stops stops; e2fsck is content" on_ext4
