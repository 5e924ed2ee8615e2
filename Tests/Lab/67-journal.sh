# shellcheck shell=bash
# lab: full
# lab: effort=full
# lab: deadline=600
# The journal's fields, bulkheadctl logs, and the file for node_exporter, under systemd.

disk0=$(nvme_address 0)
on_exit systemctl stop bulkhead

# journal MATCH...: what the journal has since the scenario began (boots are shared), one JSON object a line.
began=@$(date +%s.%6N)
journal() { journalctl --sync && journalctl --no-pager --output=json --since="$began" "$@"; }
has() { [ -n "$(journal "$@" | head -n 1)" ] || { echo "nothing in the journal: $*" && return 1; }; }

fields() {
  configure "$(device_entry disk0 "$disk0" nvme 'restart = { delay = "1ms", burst = 1 }')"
  systemctl start bulkhead
  eventually 30 is_in_state disk0 running
  has BULKHEAD_DEVICE="$disk0" BULKHEAD_NAME=disk0 BULKHEAD_EVENT=state BULKHEAD_STATE=running BULKHEAD_DRIVER=nvme
  has BULKHEAD_DEVICE="$disk0" BULKHEAD_PROCESS=driver
  has BULKHEAD_DEVICE="$disk0" BULKHEAD_PROCESS=broker
  has BULKHEAD_EVENT=unit
  journal BULKHEAD_EVENT=state BULKHEAD_STATE=running | tail -n 1 | python3 -c '
import json, sys
record = json.loads(sys.stdin.read())
assert record["MESSAGE"].startswith("0000:01:00.0 disk0: starting-driver -> running"), record
assert record["PRIORITY"] == "5" and record["SYSLOG_IDENTIFIER"] == "bulkheadd", record
assert record["_SYSTEMD_UNIT"] == "bulkhead.service" and "CODE_FILE" not in record, record'
  # Nothing came twice, as a record and as a line.
  [ "$(journal -u bulkhead | grep -c 'starting-driver -> running')" = 1 ]
}
check "records have device, name, event, driver and process" fields

incidents() {
  local generation
  generation=$(status disk0 generation)
  kill_driver disk0
  eventually 30 is_generation disk0 $((generation + 1))
  has BULKHEAD_EVENT=restart BULKHEAD_DEVICE="$disk0" MESSAGE_ID=f1da2aef87a342f99297ce4c3319978e
  kill_driver disk0
  eventually 30 is_in_state disk0 quarantined
  has BULKHEAD_EVENT=quarantine PRIORITY=3 MESSAGE_ID=9c4857c3551a459d95b901fb4753689f
  systemctl stop bulkhead
}
check "restarts and quarantine have names and message ids" incidents

# Installed as a file only: a package's trigger would have done the rest (90-debian.sh).
explained() {
  local id
  journalctl --update-catalog
  for id in f1da2aef87a342f99297ce4c3319978e 9c4857c3551a459d95b901fb4753689f; do
    journalctl --no-pager --catalog --since="$began" MESSAGE_ID="$id" | tail -n 25 | tee "$LAB_WORK/explained"
    grep -qF ' Defined-By: Bulkhead' "$LAB_WORK/explained" || fail "$id is not in the catalog"
    grep -qE ' Subject: .*disk0' "$LAB_WORK/explained" || fail "it does not say which device"
    # Fields that the record does not have would stay as they are.
    ! grep -F '@' "$LAB_WORK/explained" || fail "a field is not there"
  done
}
check "journalctl -x explains them" explained

# The driver prints what would be fields if it could make any.
forged() {
  configure "$(device_entry disk0 "$disk0" hostile 'options = { attack = "log" }')"
  systemctl start bulkhead
  said() { journal BULKHEAD_DRIVER=hostile BULKHEAD_PROCESS=driver | grep -c forged; }
  eventually 30 said
  journal BULKHEAD_DRIVER=hostile BULKHEAD_PROCESS=driver | python3 -c '
import json, sys
records = [json.loads(line) for line in sys.stdin]
for record in records:
    # What is not clean text comes as a list of bytes.
    assert isinstance(record["MESSAGE"], str) and record["MESSAGE"].isprintable(), record
    assert record["MESSAGE"].startswith("0000:01:00.0 disk0: driver: ") and record["PRIORITY"] > "2", record
    assert record["BULKHEAD_DEVICE"] == "0000:01:00.0" and record["BULKHEAD_PROCESS"] == "driver", record
assert sum("forged" in record["MESSAGE"] for record in records) >= 5, records'
  ! has BULKHEAD_DEVICE=0000:ff:00.0
  systemctl stop bulkhead
}
check "what a driver says cannot become a field or a line of another" forged

verb() {
  configure "$(device_entry disk0 "$disk0")"
  systemctl start bulkhead
  eventually 30 is_in_state disk0 running
  journalctl --sync
  bulkheadctl logs disk0 -n 3 | tee "$LAB_WORK/logs"
  [ "$(grep -c disk0 "$LAB_WORK/logs")" = 3 ]
  bulkheadctl logs "$disk0" --json -n 1 | python3 -c 'import json, sys; assert json.load(sys.stdin)["BULKHEAD_NAME"] == "disk0"'
  [ -z "$(bulkheadctl logs disk0 --since +1h --json)" ] || fail "records of the future"
  bulkheadctl logs disk0 --since -1h --lines all | grep -q disk0
  ! bulkheadctl logs disk0 --since nonsense || fail "a time that is none"
  timeout $((LAB_PATIENCE * 30)) bulkheadctl logs disk0 --follow -n 0 >"$LAB_WORK/logs" &
  sleep 1
  bulkheadctl restart disk0
  eventually 10 grep -q 'cycling-driver' "$LAB_WORK/logs"
  kill %1
  # Somebody else's words are not a device's.
  setpriv --reuid=65534 --regid=65534 --clear-groups logger --journald <<<"MESSAGE=by a stranger
BULKHEAD_DEVICE=$disk0"
  journalctl --sync
  has MESSAGE="by a stranger"
  ! bulkheadctl logs disk0 | grep -q 'by a stranger' || fail "anybody can put lines there"
}
check "bulkheadctl logs: by name and address, as JSON, since, and as it comes" verb

without() {
  systemctl stop bulkhead
  bulkheadctl logs "$disk0" -n 1 | grep disk0
  bulkheadctl logs disk0 -n 1 | grep disk0
  local status=0
  setpriv --reuid=65534 --regid=65534 --clear-groups bulkheadctl logs "$disk0" 2>"$LAB_WORK/err" || status=$?
  cat "$LAB_WORK/err"
  [ "$status" = 4 ] || fail "status $status"
  grep -q 'systemd-journal' "$LAB_WORK/err" || fail "no word of the group"
  status=0
  PATH=/nowhere /usr/bin/bulkheadctl logs "$disk0" 2>"$LAB_WORK/err" || status=$?
  [ "$status" = 1 ] || fail "status $status"
  grep -q 'journalctl cannot be run' "$LAB_WORK/err"
}
check "logs without a daemon, without permission, without journalctl" without

collector() {
  local file=/var/lib/prometheus/node-exporter/bulkhead.prom
  mkdir -p /var/lib/prometheus/node-exporter
  systemctl start bulkhead
  eventually 30 is_in_state disk0 running
  systemctl start bulkhead-metrics.timer
  eventually 40 grep -qx 'bulkhead_up 1' "$file"
  [ "$(stat -c '%a' "$file")" = 644 ]
  systemctl stop bulkhead-metrics.timer bulkhead
  systemctl start bulkhead-metrics.service
  grep -qx 'bulkhead_up 0' "$file"
  ! systemctl is-failed bulkhead-metrics.service
}
check "bulkhead-metrics.timer writes the file for node_exporter" collector
