# shellcheck shell=bash
# lab: effort=full
# lab: deadline=500
# What is to be seen of devices at work: metrics, the file for node_exporter, top; arguments that are wrong, and no daemon.

disk0=$(nvme_address 0)
on_exit stop_bulkheadd

# metric NAME [LABEL]: the value of a sample, of the only one that has the label.
metric() { bulkheadctl metrics | awk -v name="$1{" -v label="${2:-}" 'index($0, name) == 1 && index($0, label) { print $NF }'; }

# work KIND MEBIBYTES: past the page cache.
work() {
  case $1 in
    write) dd if=/dev/zero of="$(disk_of disk0)" bs=64k count=$(($2 * 16)) oflag=direct status=none ;;
    read) dd if="$(disk_of disk0)" of=/dev/null bs=64k count=$(($2 * 16)) iflag=direct status=none ;;
  esac
}

counts() {
  local before after
  start_disks "$(device_entry disk0 "$disk0")" "$(nic_entry auto)"
  eventually 30 is_in_state nic0 running
  bulkheadctl metrics | sed -E '/^#/!s/ [^ ]+$/ N/' | snapshot 66-metrics.txt
  before=$(metric bulkhead_requests_total 'operation="write"')
  work write 4
  work read 4
  after=$(metric bulkhead_requests_total 'operation="write"')
  [ $((after - before)) -ge 64 ] || fail "$before, then $after writes"
  [ "$(metric bulkhead_request_duration_seconds_bucket 'operation="write",le="+Inf"')" = "$after" ] || fail "not all are in the histogram"
  [ "$(metric bulkhead_request_duration_seconds_count 'operation="write"')" = "$after" ] || fail "count"
  [ "$(metric bulkhead_device_state 'state="running"' | sort -u)" = 1 ] || fail "state"
  [ "$(metric bulkhead_network_packets_total 'interface="bh0"' | wc -l)" = 2 ] || fail "no packets of the NIC"
  [ "$(metric bulkhead_violations_total 'name="disk0",violation="dma-fault"')" = 0 ] || fail "violations"
  bulkheadctl metrics | tail -n 1 | grep -qx '# EOF'
  bulkheadctl metrics --format openmetrics | grep -q '^bulkhead_requests_created{'
  bulkheadctl status --json disk0 | grep -q '"latencies"'
}
check "metrics count requests, and their histogram has all of them" counts

survive() {
  local reads generation
  reads=$(metric bulkhead_requests_total 'operation="read"')
  generation=$(status disk0 generation)
  kill_driver disk0
  eventually 30 is_generation disk0 $((generation + 1))
  work read 1
  [ "$(metric bulkhead_requests_total 'operation="read"')" -gt "$reads" ] || fail "it counts from 0 again"
  [ "$(metric bulkhead_driver_restarts_total 'name="disk0"')" = 1 ] || fail "restarts"
  [ "$(metric bulkhead_device_resets_total 'name="disk0"')" = 2 ] || fail "resets"
}
check "a driver's death takes nothing from the counters, and is counted" survive

files() {
  mkdir -p "$LAB_WORK/collector"
  ln -sf /nowhere "$LAB_WORK/collector/bulkhead.prom"
  bulkheadctl metrics --textfile "$LAB_WORK/collector/bulkhead.prom"
  [ "$(stat -c '%a %F' "$LAB_WORK/collector/bulkhead.prom")" = "644 regular file" ]
  [ "$(ls -A "$LAB_WORK/collector")" = bulkhead.prom ] || fail "left behind: $(ls -A "$LAB_WORK/collector")"
  grep -qx 'bulkhead_up 1' "$LAB_WORK/collector/bulkhead.prom"
}
check "the file for node_exporter is replaced whole" files

# Of a disk and a card that have worked, and one driver that was lost. promtool, which is not in the guest, reads it on the
# host (lab/results).
kept_for_promtool() {
  bulkheadctl metrics >"$LAB_OUT/66-observability.prom"
  grep -q '^bulkhead_request_duration_seconds_bucket{' "$LAB_OUT/66-observability.prom"
  grep -q '^bulkhead_network_packets_total{' "$LAB_OUT/66-observability.prom"
}
check "metrics of devices at work are kept for promtool" kept_for_promtool

pages() {
  local out=$LAB_WORK/top
  work read 64 &
  bulkheadctl top --interval 1 --iterations 2 >"$out"
  wait
  cat "$out"
  [ "$(grep -c '^DEVICE *STATE' "$out")" = 2 ] || fail "not two pages"
  grep -E '^disk0 +running +[0-9]' "$out"
  [ "$(wc -L <"$out")" -le 80 ] || fail "wider than 80 columns"
  # Numbers of any width, and the hyphen of what is not known.
  bulkheadctl top --interval 0.2 --iterations 1 | awk '/running$/ { sub(/- [0-9:]+/, "- TIME") }
    $2 == "running" { for (i = 3; i <= NF; i++) $i = "N" } { $1 = $1; print }' | snapshot 66-top.txt
  COLUMNS=30 bulkheadctl top --interval 0.2 --iterations 1 disk0 >"$out"
  [ "$(wc -L <"$out")" -le 30 ] || fail "wider than 30 columns"
  bulkheadctl top --json --interval 0.5 --iterations 2 disk0 | tee "$out"
  python3 -c '
import json, sys
for line in open(sys.argv[1]):
    [device] = json.loads(line)
    assert device["name"] == "disk0" and device["operations"] >= 0 and device["driverProcessor"] >= 0, device
    assert device["memory"] > 1 << 20 and 0.4 < device["interval"] < 60, device' "$out"
}
check "top in batches: pages of 80 columns, and JSON a line" pages

# A terminal of its own, by script(1): q ends it, and the terminal is as before.
on_a_terminal() {
  # shellcheck disable=SC2016 # expanded by the shell in there
  (sleep 3; printf q) | timeout 30 script -qec 'stty cols 60 rows 10; before=$(stty -g); bulkheadctl top --interval 1; stty -g | grep -qx "$before" && echo restored' \
    /dev/null >"$LAB_WORK/screen"
  tr -d '\r' <"$LAB_WORK/screen" | tail -n 1 | grep -qx restored
  # The cursor is shown again, and each page began at the top.
  grep -qF $'\e[?25h' "$LAB_WORK/screen"
  [ "$(grep -o $'\e\[H' "$LAB_WORK/screen" | wc -l)" -ge 3 ]
}
check "top on a terminal: q ends it, and the terminal is as before" on_a_terminal

on_a_dumb_terminal() {
  TERM=dumb timeout 30 script -qec 'bulkheadctl top --interval 0.2 --iterations 2' /dev/null >"$LAB_WORK/screen" </dev/null
  [ "$(grep -c '^DEVICE *STATE' "$LAB_WORK/screen")" = 2 ] || fail "not two pages"
  ! grep -q $'\e' "$LAB_WORK/screen" || fail "escapes on a dumb terminal"
}
check "top on a dumb terminal: one page after the other" on_a_dumb_terminal

goes_on() {
  local top
  bulkheadctl top --interval 0.5 --iterations 8 disk0 >"$LAB_WORK/top" 2>"$LAB_WORK/err" &
  top=$!
  sleep 1.5
  stop_bulkheadd KILL
  eventually 10 grep -q 'waiting for bulkheadd' "$LAB_WORK/err"
  start_bulkheadd
  eventually 60 is_in_state disk0 running
  wait "$top"
  [ "$(grep -c '^DEVICE' "$LAB_WORK/top")" = 8 ]
  tail -n 2 "$LAB_WORK/top"
}
check "top waits for the next bulkheadd" goes_on

# refused STATUS WORD COMMAND...: it fails so, and says the word.
refused() {
  local wanted=$1 word=$2 status=0
  shift 2
  "$@" >"$LAB_WORK/out" 2>"$LAB_WORK/err" || status=$?
  [ "$status" = "$wanted" ] || fail "$*: status $status: $(cat "$LAB_WORK/err")"
  grep -qi -- "$word" "$LAB_WORK/err" || fail "$*: $(cat "$LAB_WORK/err")"
  [ ! -s "$LAB_WORK/out" ] || fail "$*: something on standard output"
}
wrong() {
  refused 64 interval bulkheadctl top --interval 0
  refused 64 interval bulkheadctl top --interval soon
  refused 64 iterations bulkheadctl top --iterations 0
  refused 64 format bulkheadctl metrics --format xml
  refused 64 textfile bulkheadctl metrics --format openmetrics --textfile "$LAB_WORK/x.prom"
  refused 64 json bulkheadctl metrics --json
  refused 64 device bulkheadctl logs
  refused 64 lines bulkheadctl logs -n many disk0
  refused 3 nothing bulkheadctl top nothing
  refused 3 nothing bulkheadctl logs nothing
  refused 1 folder bulkheadctl metrics --textfile "$LAB_WORK/none/x.prom"
  refused 1 'name a file' bulkheadctl metrics --textfile "$LAB_WORK"
}
check "wrong arguments, unknown devices, files that cannot be" wrong

no_permission() {
  local name
  for name in top metrics; do
    refused 4 group setpriv --reuid=65534 --regid=65534 --clear-groups bulkheadctl "$name"
  done
}
check "whoever may not open the socket is told what to do" no_permission

hanging() {
  local pid
  pid=$(bulkheadd_pid)
  kill -STOP "$pid"
  refused 5 'has not answered for 10 s' timeout 20 bulkheadctl metrics --textfile "$LAB_WORK/x.prom"
  kill -CONT "$pid"
  grep -qx 'bulkhead_up 0' "$LAB_WORK/x.prom"
  bulkheadctl metrics --textfile "$LAB_WORK/x.prom"
  grep -qx 'bulkhead_up 1' "$LAB_WORK/x.prom"
}
check "a daemon that hangs: after 10 s the file for node_exporter says so" hanging

nobody_there() {
  stop_bulkheadd
  refused 5 start bulkheadctl top
  refused 5 start bulkheadctl metrics
  refused 5 start bulkheadctl metrics --textfile "$LAB_WORK/x.prom"
  grep -qx 'bulkhead_up 0' "$LAB_WORK/x.prom"
}
check "no daemon: status 5, and the file for node_exporter says so" nobody_there
