# shellcheck shell=bash
# lab: deadline=1500
# The block benchmark, run in the lab by "make bench": the in-kernel nvme driver, qemu-nbd with its own user-space driver
# (nvme://, VFIO) and Bulkhead, alternating on one controller, the same fio jobs. One line of JSON for each measurement
# goes to /lab/out/bench.jsonl.

disk0=$(nvme_address 0)
rounds=${BENCH_ROUNDS:-5}
seconds=${BENCH_SECONDS:-3}
on_exit stop_bulkheadd

busy_jiffies() { awk '/^cpu / { print $2 + $3 + $4 + $7 + $8 }' /proc/stat; }

# measure SYSTEM DEVICE WORK RW BS DEPTH
measure() {
  local before after
  before=$(busy_jiffies)
  timeout $((seconds * 5 + 30)) fio --name=bench --filename="$2" --direct=1 --ioengine=libaio --rw="$4" --bs="$5" \
    --iodepth="$6" --size=256M --runtime="$seconds" --time_based --randrepeat=1 --output-format=json \
    --output="$LAB_WORK/fio.json"
  after=$(busy_jiffies)
  python3 - "$1" "$3" $((after - before)) "$LAB_WORK/fio.json" >>"$LAB_OUT/bench.jsonl" <<'PYTHON'
import json, sys
system, work, jiffies, path = sys.argv[1:5]
job = json.load(open(path))["jobs"][0]
if job["error"]:
    sys.exit(f"fio: error {job['error']}")
operations = job["read"]["total_ios"] + job["write"]["total_ios"]
rate = job["read"]["iops"] + job["write"]["iops"]
print(json.dumps({"work": work, "where": "lab", "system": system, "unit": "iops", "value": rate,
                  "cpu_us_per_op": int(jiffies) * 10000 / max(1, operations)}))
PYTHON
}

all_work() {
  local system=$1 device=$2 mode depth
  for depth in 1 32; do
    for mode in randread randwrite; do
      measure "$system" "$device" "block-4k-$mode-qd$depth" "$mode" 4k "$depth"
    done
  done
  measure "$system" "$device" block-128k-read "read" 128k 4
  measure "$system" "$device" block-128k-write "write" 128k 4
}

with_kernel() { all_work kernel "$(kernel_block_device "$disk0")"; }

with_qemu_nbd() {
  bind "$disk0" vfio-pci
  qemu-nbd --persistent --shared=4 --cache=writeback --aio=io_uring --pid-file="$LAB_WORK/qemu.pid" --connect=/dev/nbd8 \
    --image-opts "driver=raw,file.driver=nvme,file.device=$disk0,file.namespace=1" &
  local qemu=$!
  nbd8_is_there() { [ "$(blockdev --getsize64 /dev/nbd8)" -gt 0 ]; }
  eventually 20 nbd8_is_there
  all_work qemu-nbd /dev/nbd8
  qemu-nbd --disconnect /dev/nbd8 >/dev/null
  eventually 20 lab_gone "$qemu"
  bind "$disk0" none
}

with_bulkhead() {
  start_disks "$(device_entry disk0 "$disk0")"
  all_work bulkhead "$(disk_of disk0)"
  stop_bulkheadd
}

round_of() {
  local system=$1
  "with_${system//-/_}"
  eventually 20 test "$(driver_of "$disk0")" = nvme
  kernel_disk_is_there() { [ -b "$(kernel_block_device "$disk0")" ]; }
  eventually 20 kernel_disk_is_there
}
# Every block is written once, so that no system reads holes.
dd if=/dev/urandom of="$(kernel_block_device "$disk0")" bs=1M count=256 oflag=direct status=none
for round in $(seq "$rounds"); do
  for system in kernel qemu-nbd bulkhead; do
    check "round $round of $rounds: $system" round_of "$system"
  done
done
