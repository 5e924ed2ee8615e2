# shellcheck shell=bash
# lab: deadline=1500
# A network driver that attacks: what it writes into its queues and says to its broker leads nowhere, has a name and is
# counted, and nobody else notices.

disk=$(nvme_address 1)
canary_begin
on_exit stop_bulkheadd

tolerant='violations = { tolerate = 1000, then = "restart" }'
neighbour=$(device_entry disk1 "$disk")

# hostile ATTACK DATAPATH [OPTIONS [LINES]]: such a driver for the NIC. Restarts are quick, and nothing is held against it.
hostile() {
  printf '[[device]]\nname = "nic0"\naddress = "%s"\ndriver = "hostile-network"\noutlet = { interface = "bh0", datapath = "%s" }\n' \
    "$(e1000e_address)" "$2"
  printf 'options = { attack = "%s"%s }\nrestart = { delay = "10ms", max-delay = "10ms", burst = 1000 }\n%s\n' "$1" "${3:+, $3}" \
    "${4:-$tolerant}"
}

start_hostile() {
  # Where the check before has failed.
  stop_hostile
  configure "$neighbour" "$(hostile "$@")"
  start_bulkheadd
  eventually 30 test -d /sys/class/net/bh0
  # Frames for the wire, without an end: buffers for them are looked at only when there is one.
  ip addr add 10.9.0.1/24 dev bh0
  ip neigh replace 10.9.0.2 lladdr 52:54:00:00:00:02 nud permanent dev bh0
  ip link set bh0 up
  ping -q -i 0.05 10.9.0.2 >/dev/null 2>&1 &
  HOSTILE_TRAFFIC=$!
  eventually 30 is_in_state disk1 running
}

stop_hostile() {
  kill "${HOSTILE_TRAFFIC:-}" 2>/dev/null || true
  stop_bulkheadd
}

reached() { [ "$(status nic0 generation)" -ge "$1" ]; }
counted() { [ "$(violations nic0 "$1")" -ge "$2" ]; }
# The interface, its neighbour and the memory of others are as they were.
undisturbed() {
  [ "$(canary_verdict)" = intact ] || fail "the canary changed"
  [ "$(cat /sys/class/net/bh0/ifindex)" = "$1" ] || fail "another interface"
  is_in_state disk1 running
  [ "$(status disk1 generation)" = 1 ] || fail "the neighbour's driver was restarted"
  dd if="$(disk_of disk1)" of=/dev/null bs=4k count=64 iflag=direct status=none
}

# rings DATAPATH QUEUE LEAST: each driver writes another thing that it must not; so many have their name at least.
rings() {
  start_hostile descriptors "$1" "queue = $2"
  local index
  index=$(cat /sys/class/net/bh0/ifindex)
  # One driver for each kind.
  eventually 200 reached 25
  bulkheadctl status nic0 | sed -n '/Violations/,$p'
  counted 'descriptor-invalid|avail-index-invalid' "$3" || fail "only $(violations nic0 'descriptor-invalid|avail-index-invalid')"
  counted avail-index-invalid 1 || fail "an index that ran ahead was not named"
  undisturbed "$index"
  stop_hostile
}

# The driver says when it is through with all of them.
through() { tail -n "+$1" "$LAB_OUT/bulkheadd.log" | grep -E "headers: .* (came back|did not come back)"; }
# headers DATAPATH COUNT [KIND]
headers() {
  local index mark
  touch "$LAB_OUT/bulkheadd.log"
  mark=$(wc -l <"$LAB_OUT/bulkheadd.log")
  start_hostile headers "$1" "count = $2${3:+, kind = \"$3\"}"
  index=$(cat /sys/class/net/bh0/ifindex)
  eventually 90 through "$mark"
  [ "$1" = vhost ] || through "$mark" | grep "headers: $2 frames, $2 came back"
  # vhost-net tries a frame of less than a header again and again; its thread is in the broker's cgroup.
  top -b -n 1 | sed -n '7,12p'
  # The kernel drops them without a word to vhost-net: there the supervisor infers it, from what comes out of the interface.
  # What vhost-net cannot get past the broker looks for.
  eventually 10 counted frame-invalid 1
  bulkheadctl status nic0 | sed -n '/Violations/,$p'
  ip -s -s link show dev bh0
  undisturbed "$index"
  stop_hostile
}

races() {
  start_hostile race "$1" "seconds = 2"
  local index
  index=$(cat /sys/class/net/bh0/ifindex)
  eventually 90 reached 8
  bulkheadctl status nic0 | sed -n '/Violations/,$p'
  undisturbed "$index"
  stop_hostile
}

# lies ATTACK VIOLATION LEAST GENERATIONS
lies() {
  start_hostile "$1" auto
  local index
  index=$(cat /sys/class/net/bh0/ifindex)
  eventually 90 reached "$4"
  bulkheadctl status nic0 | sed -n '/Violations/,$p'
  counted "$2" "$3" || fail "only $(violations nic0 "$2")"
  undisturbed "$index"
  stop_hostile
}

is_quarantined_by_policy() {
  start_hostile descriptors auto 'kind = "nowhere"' 'violations = { tolerate = 0, then = "quarantine" }'
  eventually 30 is_in_state nic0 quarantined
  counted descriptor-invalid 1
  [ "$(cat /sys/class/net/bh0/carrier 2>/dev/null || echo 0)" = 0 ] || fail "carrier without a driver"
  is_in_state disk1 running
  stop_hostile
}

check "vhost: forged buffers for frames out are named and counted, and nobody notices" rings vhost 0 16
full_check "vhost: forged frames in likewise" rings vhost 1 16
full_check "broker: forged buffers for frames out likewise" rings broker 0 19
check "broker: forged frames in likewise" rings broker 1 19
check "vhost: headers that contradict their frames stop nothing" headers vhost 180
full_check "vhost: those of one kind are named, though nobody saw them" headers vhost 50 checksum-nowhere
full_check "vhost: frames of less than a header, which it tries for ever, are named" headers vhost 6 cut
check "broker: headers that contradict their frames are counted" headers broker 2000
check "vhost: descriptors and headers that change while they are read" races vhost
full_check "broker: descriptors and headers that change while they are read" races broker
check "messages that no network driver may send" lies messages 'malformed-message|illegal-transition' 5 9
check "ports that cannot be" lies port 'malformed-message|illegal-transition|unit-invalid' 8 12
check "a flood of links" lies flood 'message-flood|illegal-transition' 1 2
check "by policy the device is quarantined; its interface stays, without carrier" is_quarantined_by_policy
