# shellcheck shell=bash
# Part of Tests/Clients/run: clients that misbehave, beside one that does not and must not notice.

timeout 600 fio --name=bystander --ioengine=nbd "--uri=$URI" --rw=randrw --bs=4k --iodepth=8 --size=8M --loops=100000 \
  --time_based --runtime=590 --verify=crc32c --verify_state_save=0 --verify_fatal=1 --verify_backlog=64 --output-format=json \
  --output="$WORK/bystander.json" >"$WORK/bystander.log" 2>&1 &
bystander=$!
sleep 1
CLIENTS_BLOCK=$BLOCK CLIENTS_EXPORT=${CLIENTS_EXPORT:-} CLIENTS_SLOW=$SLOW pass_on "$PYTHON" "$CLIENTS/hostile.py" "$SOCKET"
running=yes
# What "timeout" gets, it passes on; fio then reports and ends with 128.
kill -INT "$bystander" 2>/dev/null || running=no
fio_status=0
wait "$bystander" || fio_status=$?

bystander_undisturbed() {
  cat "$WORK/bystander.log"
  [ "$running $fio_status" = "yes 128" ] || fail "fio ended before the others, or with an error: status $fio_status"
  "$PYTHON" - "$WORK/bystander.json" $((${SLOW:+7} + 5)) <<'PYTHON'
import json, sys
# Its last words come before the report.
text = open(sys.argv[1]).read()
job = json.loads(text[text.index("{"):])["jobs"][0]
reads, writes = job["read"]["total_ios"], job["write"]["total_ios"]
slowest = max(job[way]["clat_ns"]["max"] for way in ("read", "write")) / 1e9
print(f"{reads} reads, {writes} writes, error {job['error']}, the slowest took {slowest:.3f} s")
if job["error"] or not reads or not writes:
    sys.exit("the bystander saw an error or did nothing")
if slowest > int(sys.argv[2]):
    sys.exit(f"the bystander waited {slowest:.1f} s for one request")
PYTHON
}
test_case "fio --verify=crc32c beside all of these sees no error and waits for no one" bystander_undisturbed
