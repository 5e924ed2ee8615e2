# shellcheck shell=bash
# lab: deadline=1500
# The block benchmark, run in the lab by "make bench": the in-kernel nvme driver, qemu-nbd with its own user-space driver
# (nvme://, VFIO) and Bulkhead, alternating on one controller, the same fio jobs. One line of JSON for each measurement
# goes to /lab/out/bench.jsonl.

disk0=$(nvme_address 0)
rounds=${BENCH_ROUNDS:-5}
BENCH_SECONDS=${BENCH_SECONDS:-3} BENCH_WHERE=lab BENCH_OUT=$LAB_OUT/bench.jsonl BENCH_WORK=$LAB_WORK
BENCH_ROW=/lab/share/guest/bench-row
# shellcheck source=lab/guest/bench-fio.sh
. /lab/share/guest/bench-fio.sh
on_exit stop_bulkheadd

# all_work SYSTEM DEVICE
all_work() { bench_block "$1" --ioengine=libaio --direct=1 "--filename=$2"; }

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
