# shellcheck shell=bash
# lab: deadline=1800
# Drivers, brokers and the supervisor die and hang while TCP runs through the interface; the connection never ends.

on_exit stop_bulkheadd
peer_begin
patient='restart = { delay = "20ms", max-delay = "20ms", burst = 0 }
heartbeat = { interval = "500ms", timeout = "2s" }
violations = { tolerate = 1000000, then = "tolerate" }'
identity=$LAB_WORK/identity

# start_download SECONDS: TRANSFER MB in the background, in no less than this time.
start_download() {
  transfer "in" "$FAR4" "$TRANSFER" $((TRANSFER / $1)) &
  download=$!
}
# downloaded: it ended well, and the interface is still the same.
downloaded() {
  wait "$download" || fail "the download: status $?"
  identity_of bh0 | diff "$identity" - || fail "the interface is not the same as before"
}

# killed_every SECONDS LEAST: at least LEAST kills must fall into the download.
killed_every() {
  local pid kills=0 generation
  generation=$(status nic0 generation)
  # To find the process takes its time, too.
  start_download $((($1 + 1) * $2 + 2))
  while sleep "$1" && kill -0 "$download" 2>/dev/null; do
    pid=$(status nic0 driverPid)
    # In the middle of a restart there is none.
    [ -n "$pid" ] && kill -KILL "$pid" && kills=$((kills + 1))
  done
  downloaded
  eventually 10 is_generation nic0 $((generation + kills))
  echo "$kills kills; generation $(status nic0 generation)"
  [ "$kills" -ge "$2" ] || fail "only $kills kills"
}

stopped() {
  local generation
  generation=$(status nic0 generation)
  start_download 16
  for round in 1 2; do
    sleep 3
    kill_driver nic0 STOP
    eventually 15 is_generation nic0 $((generation + round))
  done
  downloaded
}

broker_killed() {
  start_download 10
  sleep 3
  kill -KILL "$(status nic0 brokerPid)"
  new_broker() { [ "$(status nic0 brokerRestarts)" -ge 1 ] && is_in_state nic0 running; }
  eventually 20 new_broker
  downloaded
}

supervisor_killed() {
  local brokers
  start_download 10
  sleep 3
  brokers=$(pids_of bulkhead-broker)
  stop_bulkheadd KILL
  [ -d /sys/class/net/bh0 ] || fail "the interface went with the supervisor"
  identity_of bh0 | diff "$identity" - || fail "the interface is not the same as before"
  start_bulkheadd
  eventually 60 is_in_state nic0 running
  echo "broker before: $brokers, now: $(status nic0 brokerPid)"
  downloaded
}

starts() {
  start_nic "$(nic_entry "$1" '' "$patient")"
  # Something to lose.
  ip route add 10.44.0.0/16 via "$FAR4" dev bh0
  identity_of bh0 | tee "$identity"
}
# Drivers that die are no attackers.
nobody_is_accused() {
  bulkheadctl status nic0
  [ "$(violations nic0 '.*')" = 0 ] || fail "violations are counted"
}
ends() {
  stop_bulkheadd
  [ ! -e /sys/class/net/bh0 ] || fail "bh0 is still there"
}

check "vhost: the interface is up" starts vhost
check "vhost: kill -9 of the driver every second" killed_every 1 5
full_check "vhost: kill -9 of the driver every 2 s" killed_every 2 3
full_check "vhost: kill -9 of the driver every 4 s" killed_every 4 2
full_check "vhost: kill -9 of the driver every 8 s" killed_every 8 2
full_check "vhost: kill -9 of the driver every 15 s" killed_every 15 1
check "vhost: SIGSTOP of the driver is noticed by the heartbeat, and the driver replaced" stopped
check "vhost: kill -9 of the broker: a new one takes the same interface up" broker_killed
check "vhost: kill -9 of bulkheadd: the next one takes the same interface up" supervisor_killed
check "vhost: no violation in all of this" nobody_is_accused
check "vhost: the daemon ends in order" ends
check "broker: the interface is up" starts broker
check "broker: kill -9 of the driver every second" killed_every 1 5
full_check "broker: kill -9 of the driver every 4 s" killed_every 4 2
full_check "broker: SIGSTOP of the driver is noticed by the heartbeat, and the driver replaced" stopped
check "broker: kill -9 of the broker: a new one takes the same interface up" broker_killed
check "broker: no violation in all of this" nobody_is_accused
check "broker: the daemon ends in order" ends
