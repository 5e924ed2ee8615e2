# shellcheck shell=bash
# lab: deadline=1500
# lab: image=bench
# The network benchmark, run in the lab by "make bench WORK=net": the e1000e under the in-kernel driver, DPDK's testpmd (io
# forwarding between its own e1000 driver, under VFIO, and a TAP interface) and Bulkhead in both modes, alternating on one
# NIC, against the same kernel's virtio-net NIC in another namespace. One line of JSON for each measurement goes to
# /lab/out/bench.jsonl. BENCH_SYSTEMS limits what is measured.

nic=$(e1000e_address)
rounds=${BENCH_ROUNDS:-5}
systems=${BENCH_SYSTEMS:-kernel testpmd bulkhead-vhost bulkhead-broker}
BENCH_SECONDS=${BENCH_SECONDS:-4} BENCH_OUT=$LAB_OUT/bench.jsonl BENCH_WORK=$LAB_WORK
# shellcheck source=lab/guest/bench-net.sh
. /lab/share/guest/bench-net.sh
on_exit stop_bulkheadd
peer_begin
peer iperf3 --server --daemon --pidfile "$LAB_WORK/iperf3.pid" >/dev/null

# all_works SYSTEM INTERFACE [PROCESS...]: INTERFACE is up, with its addresses.
all_works() {
  local system=$1
  shift 2
  eventually 10 answers
  bench_net "$system" "$*" "$FAR4"
}

kernel_interface() { ls "/sys/bus/pci/devices/$nic/net"; }
with_kernel() {
  near_up "$(kernel_interface)"
  all_works kernel "$(kernel_interface)"
  ip addr flush dev "$(kernel_interface)"
  ip link set "$(kernel_interface)" down
}

with_testpmd() {
  local testpmd stdin
  bind "$nic" vfio-pci
  echo 128 >/proc/sys/vm/nr_hugepages
  mkdir -p /dev/hugepages
  mountpoint -q /dev/hugepages || mount -t hugetlbfs none /dev/hugepages
  # Without a prompt it runs until its standard input says something.
  exec {stdin}<> <(:)
  dpdk-testpmd -l 0,1 --allow "$nic" --vdev=net_tap0,iface=tap0 -- --forward-mode=io --auto-start --total-num-mbufs=8192 \
    >"$LAB_OUT/testpmd.log" 2>&1 <&"$stdin" &
  testpmd=$!
  eventually 20 test -d /sys/class/net/tap0
  eventually 20 grep -q 'io packet forwarding' "$LAB_OUT/testpmd.log"
  ip link set tap0 address "$NIC_MAC"
  near_up tap0
  all_works testpmd tap0 "$testpmd"
  kill -INT "$testpmd"
  eventually 20 lab_gone "$testpmd"
  exec {stdin}<&-
  echo 0 >/proc/sys/vm/nr_hugepages
  bind "$nic" none
}

# with_bulkhead DATAPATH
with_bulkhead() {
  local worker=()
  start_nic "$(nic_entry "$1")"
  # The kernel's threads that copy for vhost-net are named after the process that opened the file.
  mapfile -t worker < <(pgrep '^vhost-' || true)
  all_works "bulkhead-$1" bh0 "$(status nic0 driverPid)" "$(status nic0 brokerPid)" "${worker[@]}"
  stop_bulkheadd
}
with_bulkhead_vhost() { with_bulkhead vhost; }
with_bulkhead_broker() { with_bulkhead broker; }

round_of() {
  local system=$1
  peer ip neigh flush all
  "with_${system//-/_}"
  kernel_has_it() { [ "$(driver_of "$nic")" = e1000e ] && [ -n "$(kernel_interface)" ]; }
  eventually 20 kernel_has_it
}
# Every other round in the reverse order: what changes with time does not always meet the same one.
reversed=''
for system in $systems; do reversed="$system $reversed"; done
for round in $(seq "$rounds"); do
  order=$systems
  [ $((round % 2)) = 1 ] || order=$reversed
  for system in $order; do
    check "round $round of $rounds: $system" round_of "$system"
  done
done
