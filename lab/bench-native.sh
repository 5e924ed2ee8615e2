#!/bin/bash
# Usage: lab/bench-native.sh OUT.jsonl
# The native half of the block benchmark: nbdkit's memory plugin, qemu-nbd on a file in memory and Bulkhead on its emulated
# NVMe device, alternating, each served on a Unix socket to the same fio with its nbd engine. One line of JSON for each
# measurement goes to OUT.jsonl. BENCH_ROUNDS (5), BENCH_SECONDS (3), LAB_TREE (the release build, .lab/tree).
set -euo pipefail
# shellcheck source=lab/lib/common.sh
. "$(dirname "$0")/lib/common.sh"
# shellcheck source=lab/lib/native.sh
. "$LAB_SOURCE/lib/native.sh"
usage_if_asked "$@"
BENCH_WHERE=native BENCH_OUT=${1:?where to} BENCH_SECONDS=${BENCH_SECONDS:-3} BENCH_ROW=$LAB_SOURCE/guest/bench-row
BENCH_WORK=$(mktemp -d "${TMPDIR:-/tmp}/bench.XXXXXX")
rounds=${BENCH_ROUNDS:-5} tree=${LAB_TREE:-$LAB/tree} memory=/dev/shm/bulkhead-bench-$$.raw server=''
# shellcheck source=lab/guest/bench-fio.sh
. "$LAB_SOURCE/guest/bench-fio.sh"

# shellcheck disable=SC2317 # called by the trap
finish() {
  [ -z "$server" ] || kill "$server" 2>/dev/null || true
  stop_native || true
  rm -rf "$BENCH_WORK" "$memory"
}
trap finish EXIT
trap 'exit 130' INT TERM

# all_work SYSTEM SOCKET: each block is written once before, so that no system reads holes.
all_work() {
  local uri="nbd+unix:///?socket=$2"
  fio --name=fill --ioengine=nbd "--uri=$uri" --rw=write --bs=1M --iodepth=4 --size=256M --output=/dev/null
  bench_block "$1" --ioengine=nbd "--uri=$uri"
}

# serve SOCKET COMMAND...: a server that stays in the foreground.
serve() {
  local socket=$1 tries=0
  shift
  "$@" >"$BENCH_WORK/server.log" 2>&1 &
  server=$!
  until [ -S "$socket" ]; do
    tries=$((tries + 1))
    if [ "$tries" -gt 100 ] || ! kill -0 "$server" 2>/dev/null; then
      cat "$BENCH_WORK/server.log" >&2
      return 1
    fi
    sleep 0.1
  done
}
stop_server() {
  kill "$server"
  wait "$server" || true
  server=''
}

with_nbdkit() {
  local socket=$BENCH_WORK/nbdkit.sock
  serve "$socket" nbdkit --foreground --unix "$socket" memory 256M
  all_work nbdkit "$socket"
  stop_server
  rm -f "$socket"
}

# The same settings as in the lab's half. Where a container takes io_uring away, threads.
with_qemu_nbd() {
  local socket=$BENCH_WORK/qemu.sock aio=io_uring
  truncate -s 256M "$memory"
  qemu-io -i io_uring -f raw -c "read 0 4k" "$memory" >/dev/null 2>&1 || aio=threads
  serve "$socket" qemu-nbd --persistent --shared=4 --cache=writeback --aio="$aio" --format=raw --socket="$socket" "$memory"
  all_work qemu-nbd "$socket"
  stop_server
  rm -f "$socket" "$memory"
}

with_bulkhead() {
  start_native "$tree" --emulated nvme,size=256M
  native_runs "$tree" emulated0
  all_work bulkhead "$(native_socket emulated0)"
  stop_native
}

for round in $(seq "$rounds"); do
  for system in nbdkit qemu-nbd bulkhead; do
    say bench "native, round $round of $rounds: $system"
    "with_${system//-/_}"
  done
done
