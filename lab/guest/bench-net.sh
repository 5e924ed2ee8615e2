# shellcheck shell=bash
# Sourced by the network benchmark: its works. Set by the caller: BENCH_OUT (lines of JSON), BENCH_WORK (a scratch directory),
# BENCH_SECONDS for each measurement. An iperf3 server runs at the other end.

# Processor time of everything since boot, in ticks; but for waiting.
busy_ticks() { awk '/^cpu / { print $2 + $3 + $4 + $7 + $8 }' /proc/stat; }
# ticks_of PROCESS...: of these processes (all their threads), in ticks.
ticks_of() {
  local process total=0
  for process in "$@"; do
    total=$((total + $(sed 's/.*) //' "/proc/$process/stat" | awk '{ print $12 + $13 }')))
  done
  echo "$total"
}

# bench_one SYSTEM WORK "PROCESS..." COMMAND...: COMMAND measures; its output is read by bench-net-row.
bench_one() {
  local system=$1 work=$2 processes=$3 busy own
  shift 3
  busy=$(busy_ticks)
  # shellcheck disable=SC2086 # several
  own=$(ticks_of $processes)
  timeout $((BENCH_SECONDS * 3 + 30)) "$@" >"$BENCH_WORK/measured"
  # shellcheck disable=SC2086
  own=$(($(ticks_of $processes) - own))
  busy=$(($(busy_ticks) - busy))
  python3 /lab/share/guest/bench-net-row "$system" "$work" "$busy" "${processes:+$own}" "$BENCH_WORK/measured" |
    tee -a "$BENCH_OUT"
}

# bench_net SYSTEM "PROCESS..." ADDRESS: all works of the network class. PROCESS are those that the system consists of.
bench_net() {
  local system=$1 processes=$2 address=$3
  bench_one "$system" net-tcp-out "$processes" iperf3 -J -t "$BENCH_SECONDS" -c "$address"
  bench_one "$system" net-tcp-in "$processes" iperf3 -J -t "$BENCH_SECONDS" -c "$address" --reverse
  bench_one "$system" net-udp64 "$processes" iperf3 -J -t "$BENCH_SECONDS" -c "$address" --udp --bitrate 0 --length 64
  bench_one "$system" net-ping "$processes" ping -f -q -c $((BENCH_SECONDS * 500)) "$address"
}
