# shellcheck shell=bash
# Part of Tests/Clients/run: fio's nbd engine, writing and verifying checksums.

area=32M
each=8M
[ -z "$SLOW" ] || area=2M each=1M

# verified RW BS DEPTH [OPTION...]: no error, and as much verified as written.
verified() {
  local rw=$1 bs=$2 depth=$3
  shift 3
  timeout 120 fio --name=verify --ioengine=nbd "--uri=$URI" --rw="$rw" --bs="$bs" --iodepth="$depth" --size="$area" \
    --verify=crc32c --verify_state_save=0 --verify_fatal=1 --randrepeat=1 --output-format=json --output="$WORK/fio.json" "$@"
  "$PYTHON" - "$WORK/fio.json" "$depth" <<'PYTHON'
import json, sys
depth = int(sys.argv[2])
for job in json.load(open(sys.argv[1]))["jobs"]:
    written, read = job["write"]["total_ios"], job["read"]["total_ios"]
    print(f"{written} writes, {read} reads, error {job['error']}")
    if job["error"] or not written or read < written:
        sys.exit(f"error {job['error']}, {written} writes, {read} reads")
    if depth > 1 and job["iodepth_level"]["1"] > 50:
        sys.exit(f"depth {depth} was never reached: {job['iodepth_level']}")
PYTHON
}
for depth in 1 8 32; do
  test_case "fio --verify=crc32c, random 4 KiB, depth $depth" verified randwrite 4k "$depth"
done
test_case "fio --verify=crc32c, random blocks of 4 to 256 KiB, depth 16" verified randwrite 4k-256k 16
test_case "fio --verify=crc32c, sequential 128 KiB, depth 4" verified write 128k 4
test_case "fio --verify=crc32c, sequential 1 MiB, depth 8" verified write 1M 8
test_case "fio --verify=crc32c, single blocks, depth 16" verified randwrite "$BLOCK" 16 --io_size=2M
test_case "fio --verify=crc32c, verified while it writes, depth 32" verified randwrite 4k 32 --verify_backlog=64
test_case "fio --verify=crc32c, a flush after every 16 writes" verified randwrite 4k 16 --fsync=16
test_case "fio --verify=crc32c, 4 connections to 4 places" \
  verified randwrite 4k 16 --numjobs=4 "--size=$each" "--offset_increment=$each"
