# shellcheck shell=bash
# lab: effort=full
# lab: deadline=900
# The NBD clients that people use, against a real controller: on the Unix socket, and on /dev/nbdN at the same time.

# A small disk, so that clients that read all of it are done soon.
small=0000:07:00.0
disk1=$(nvme_address 1)
on_exit stop_bulkheadd
# For nbdfuse.
modprobe fuse
qmp device_add driver=nvme id=nvme-small serial=SMALL drive=disk-spare bus=port-spare1
eventually 20 test -e "/sys/bus/pci/devices/$small"
start_disks "$(device_entry small "$small")" \
  "$(device_entry disk1 "$disk1" nvme 'outlet = { namespaces = "all", connections = 2 }')"
eventually 30 is_in_state disk1 running
export CLIENTS_SLOW=1 TMPDIR=$LAB_WORK

# clients DEVICE [NAME=VALUE...] [PART...]: runs the suite on a device's socket; each of its lines becomes a result.
clients() {
  local device=$1 settings=() pid
  shift
  while [[ ${1:-} == *=* ]]; do
    settings+=("$1")
    shift
  done
  pid=$(status "$device" brokerPid)
  { env CLIENTS_PID="${pid:-none}" "${settings[@]}" \
    /lab/share/clients/run "/run/bulkhead/nbd/$device.sock" "$@" || true; } |
    /lab/share/clients/record "$LAB_SCENARIO" "$device: " >>"$LAB_OUT/results.jsonl"
}

clients small CLIENTS_SIZE=$((64 << 20)) CLIENTS_BLOCK=512
# Blocks of 4096 bytes, and the second namespace beside it, called by its name.
clients disk1 CLIENTS_SIZE=$((512 << 20)) CLIENTS_BLOCK=4096 nbdinfo nbdsh fio
second=$(nbdinfo --list --json "nbd+unix:///?socket=/run/bulkhead/nbd/disk1.sock" |
  python3 -c 'import json, sys; print(json.load(sys.stdin)["exports"][1]["export-name"])')
clients disk1 CLIENTS_EXPORT="$second" CLIENTS_SIZE=$((256 << 20)) CLIENTS_BLOCK=512 nbdinfo nbdsh

socket_and_kernel() {
  local uri="nbd+unix:///?socket=/run/bulkhead/nbd/small.sock" disk
  disk=$(disk_of small)
  dd if=/dev/urandom of="$LAB_WORK/noise" bs=1M count=32 status=none
  dd if="$LAB_WORK/noise" of="$disk" bs=1M oflag=direct status=none
  nbdcopy "$uri" "$LAB_WORK/back"
  cmp -n $((32 << 20)) "$LAB_WORK/noise" "$LAB_WORK/back"
  dd if=/dev/urandom of="$LAB_WORK/noise" bs=1M count=32 status=none
  nbdcopy "$LAB_WORK/noise" "$uri"
  dd if="$disk" of="$LAB_WORK/back" bs=1M count=32 iflag=direct status=none
  cmp "$LAB_WORK/noise" "$LAB_WORK/back"
}
check "what is written on /dev/nbdN is read on the socket, and the other way round" socket_and_kernel

side_by_side() {
  local uri="nbd+unix:///?socket=/run/bulkhead/nbd/small.sock" disk kernel socket=0
  disk=$(disk_of small)
  verify() {
    timeout 120 fio --name="$1" --rw=randwrite --bs=4k --iodepth=16 --size=16M --loops=3 \
      --verify=crc32c --verify_state_save=0 --verify_fatal=1 --offset="$2" --output="$LAB_WORK/$1.log" "${@:3}"
  }
  verify kernel 16M --ioengine=libaio --direct=1 --filename="$disk" &
  kernel=$!
  verify socket 40M --ioengine=nbd "--uri=$uri" || socket=$?
  wait "$kernel" || fail "fio on $disk: status $?"
  [ "$socket" = 0 ] || fail "fio on the socket: status $socket"
}
check "fio --verify on /dev/nbdN and on the socket side by side" side_by_side

read_only() {
  stop_bulkheadd
  start_disks "$(device_entry small "$small" nvme 'outlet = { read-only = true }')"
  local socket=/run/bulkhead/nbd/small.sock
  [ "$(blockdev --getro "$(disk_of small)")" = 1 ] || fail "/dev/nbdN may be written to"
  ! timeout 30 qemu-io -f raw -c 'write 0 4k' "nbd+unix:///?socket=$socket" || fail "qemu-io may write"
  CLIENTS_READ_ONLY=$socket /usr/bin/python3 /lab/share/clients/libnbd_commands.py "$socket" read_only | tee "$LAB_WORK/lines"
  grep -q '^ok read-only' "$LAB_WORK/lines"
}
check "a read-only export says so, reads, and refuses to write" read_only

stop_bulkheadd
qmp --wait DEVICE_DELETED device_del id=nvme-small || true
