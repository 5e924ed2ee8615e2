# shellcheck shell=bash
# lab: deadline=900
# What one class costs the other when its driver is killed again and again, run in the lab by "make bench WORK=net-pair": a
# disk and a NIC under load at once, each under its own driver. In each round three measurements, in alternating order:
# "steady" and "steady-again" (nobody is killed: what differs between equal measurements is noise), and "beside-kills" (the
# other one's driver is killed every second). What kills runs in all of them. One line of JSON for each goes to
# /lab/out/bench.jsonl.

disk0=$(nvme_address 0)
rounds=${BENCH_ROUNDS:-5}
BENCH_SECONDS=${BENCH_SECONDS:-6} BENCH_OUT=$LAB_OUT/bench.jsonl BENCH_WORK=$LAB_WORK
# shellcheck source=lab/guest/bench-net.sh
. /lab/share/guest/bench-net.sh
on_exit stop_bulkheadd
peer_begin
peer iperf3 --server --daemon --pidfile "$LAB_WORK/iperf3.pid" >/dev/null

takes_both() {
  local hasty='restart = { delay = "20ms", max-delay = "20ms", burst = 0 }'
  start_nic "$(nic_entry auto '' "$hasty")" "$(device_entry disk0 "$disk0" nvme "$hasty")"
  eventually 30 is_in_state disk0 running
  dd if=/dev/urandom of="$(disk_of disk0)" bs=1M count=64 oflag=direct status=none
}
check "a disk and a NIC run under their drivers" takes_both

fio_on_the_disk() {
  fio --name=pair --filename="$(disk_of disk0)" --direct=1 --rw=randrw --bs=4k --iodepth=8 --ioengine=libaio --size=64M \
    --time_based --runtime="$1" --output-format=json --output="$2"
}
# tcp_on_the_nic SECONDS REPORT [RATE]
tcp_on_the_nic() { iperf3 -J -c "$FAR4" -t "$1" --bitrate "${3:-0}" >"$2"; }

# signal_until FILE PROCESSES SIGNAL: to those in the list PROCESSES, every second until FILE is there. A client that asked
# bulkheadd for the driver each time would take three times as much of the processors as the driver's restart.
signal_until() {
  local pid
  while sleep 1 && [ ! -e "$1" ]; do
    # Between two drivers there is none.
    while read -r pid; do kill "-$3" "$pid" || :; done <"$2" || :
  done
}
# The file with the processes of DEVICE's drivers, the present one and those that follow it.
processes_of() { echo "$(control_group_of "$(status "$1" driverPid)")/cgroup.procs"; }

# measure SYSTEM disk|nic VICTIM SIGNAL: the one is measured while both work and VICTIM's driver is sent SIGNAL every second;
# 0 does it no harm.
measure() {
  local system=$1 work=$2 killer load busy processes restarts
  processes=$(processes_of "$3") restarts=$(status "$3" restarts)
  rm -f "$LAB_WORK/over"
  if [ "$work" = disk ]; then
    # At a rate that leaves the disk its share of the machine, killed or not: else the kills would speed the disk up.
    tcp_on_the_nic $((BENCH_SECONDS + 2)) "$LAB_WORK/load" 80M &
  else
    fio_on_the_disk $((BENCH_SECONDS + 2)) "$LAB_WORK/load" &
  fi
  load=$!
  sleep 1
  signal_until "$LAB_WORK/over" "$processes" "$4" &
  killer=$!
  busy=$(busy_ticks)
  if [ "$work" = disk ]; then
    fio_on_the_disk "$BENCH_SECONDS" "$LAB_WORK/measured"
    busy=$(($(busy_ticks) - busy))
    python3 /lab/share/guest/bench-row lab "$system" pair-disk "$busy" "$LAB_WORK/measured" | tee -a "$BENCH_OUT"
  else
    tcp_on_the_nic "$BENCH_SECONDS" "$LAB_WORK/measured"
    busy=$(($(busy_ticks) - busy))
    python3 /lab/share/guest/bench-net-row "$system" pair-net "$busy" '' "$LAB_WORK/measured" | tee -a "$BENCH_OUT"
  fi
  : >"$LAB_WORK/over"
  wait "$killer"
  wait "$load" || fail "the other one's load failed"
  eventually 20 is_in_state disk0 running
  eventually 20 is_in_state nic0 running
  eventually 20 answers
  restarts=$(($(status "$3" restarts) - restarts))
  echo "$restarts restarts of $3"
  [ "$4" = 0 ] || [ "$restarts" -ge $((BENCH_SECONDS / 2)) ] || fail "the kills did not hit"
}

# round_of NUMBER disk|nic VICTIM
round_of() {
  if [ $(($1 % 2)) = 0 ]; then
    measure steady "$2" "$3" 0
    measure beside-kills "$2" "$3" KILL
    measure steady-again "$2" "$3" 0
  else
    measure steady-again "$2" "$3" 0
    measure beside-kills "$2" "$3" KILL
    measure steady "$2" "$3" 0
  fi
}
for round in $(seq "$rounds"); do
  check "round $round of $rounds: the disk while the NIC's driver is killed" round_of "$round" disk nic0
  check "round $round of $rounds: the NIC while the disk's driver is killed" round_of "$round" nic disk0
done

the_measured_kept_their_drivers() { bulkheadctl list; }
check "both still run" the_measured_kept_their_drivers
