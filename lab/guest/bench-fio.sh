# shellcheck shell=bash
# Sourced by the benchmarks, in the lab and natively: the works, measured with fio. Set by the caller: BENCH_WHERE (lab or
# native), BENCH_OUT (lines of JSON), BENCH_WORK (a scratch directory), BENCH_SECONDS for each measurement, BENCH_ROW (the
# path of bench-row).

busy_jiffies() { awk '/^cpu / { print $2 + $3 + $4 + $7 + $8 }' /proc/stat; }

# bench_measure SYSTEM WORK RW BS DEPTH TARGET...: TARGET are fio's options for engine and disk.
bench_measure() {
  local system=$1 work=$2 rw=$3 bs=$4 depth=$5 before after
  shift 5
  before=$(busy_jiffies)
  timeout $((BENCH_SECONDS * 5 + 30)) fio --name=bench --rw="$rw" --bs="$bs" --iodepth="$depth" --size=256M \
    --runtime="$BENCH_SECONDS" --time_based --randrepeat=1 --output-format=json --output="$BENCH_WORK/fio.json" "$@"
  after=$(busy_jiffies)
  python3 "$BENCH_ROW" "$BENCH_WHERE" "$system" "$work" $((after - before)) "$BENCH_WORK/fio.json" >>"$BENCH_OUT"
}

# bench_block SYSTEM TARGET...: all works of the block class.
bench_block() {
  local system=$1 mode depth
  shift
  for depth in 1 32; do
    for mode in randread randwrite; do
      bench_measure "$system" "block-4k-$mode-qd$depth" "$mode" 4k "$depth" "$@"
    done
  done
  bench_measure "$system" block-128k-read "read" 128k 4 "$@"
  bench_measure "$system" block-128k-write "write" 128k 4 "$@"
}
