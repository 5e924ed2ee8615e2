# shellcheck shell=bash
# lab: deadline=600
# The interface of a NIC, as the supervisor keeps it: what survives a killed supervisor and broker, what follows a deleted
# interface, what of the administrator's settings reaches the driver, and which name is refused.

on_exit stop_bulkheadd
peer_begin

is_mtu() { [ "$(cat /sys/class/net/bh0/mtu)" = "$1" ]; }
# The settings that the driver has been brought to.
port_has() { bulkheadctl status nic0 --json | tr -d ' \n' | grep -o '"settings":{[^}]*}' | grep -qF "$1"; }
# serves_as IDENTITY: the interface is the same, and frames go through it.
serves_as() {
  eventually 30 is_in_state nic0 running
  eventually 10 has_carrier
  eventually 10 answers
  [ "$(identity_of bh0)" = "$1" ] || fail "it was: $1; it is: $(identity_of bh0)"
}

appears() {
  start_nic "$(nic_entry)"
  ip route add 198.51.100.0/24 via "$FAR4"
  bulkheadctl status nic0
}

supervisor_is_killed() {
  local before
  before=$(identity_of bh0)
  kill -9 "$(bulkheadd_pid)"
  sleep 1
  [ "$(identity_of bh0)" = "$before" ] || fail "it went with the supervisor"
  start_bulkheadd
  serves_as "$before"
}

# As an upgrade of the package does. That it did not crash is in the kernel's log (lab_kernel_complaints).
supervisor_hands_over() {
  local before pid
  before=$(identity_of bh0) pid=$(bulkheadd_pid)
  kill -USR1 "$pid"
  eventually 10 lab_gone "$pid"
  [ "$(identity_of bh0)" = "$before" ] || fail "it went with the supervisor"
  start_bulkheadd
  serves_as "$before"
}

broker_is_killed() {
  local before
  before=$(identity_of bh0)
  # shellcheck disable=SC2046
  kill -9 $(pids_of bulkhead-broker)
  eventually 20 has_no_carrier
  serves_as "$before"
}

is_deleted() {
  local before
  before=$(cat /sys/class/net/bh0/ifindex)
  ip link delete bh0
  eventually 20 test -e /sys/class/net/bh0
  [ "$(cat /sys/class/net/bh0/ifindex)" != "$before" ]
  [ "$(cat /sys/class/net/bh0/address)" = "$NIC_MAC" ] || fail "address $(cat /sys/class/net/bh0/address)"
  near_up
  eventually 10 has_own_address
  serves_as "$(identity_of bh0)"
}

is_followed() {
  ip link set bh0 mtu 12000
  eventually 20 is_mtu 9000
  eventually 20 port_has '"mtu":9000'
  ip link set bh0 mtu 4000 promisc on address 52:54:00:00:00:77
  eventually 20 port_has '"mtu":4000'
  eventually 20 port_has '"promiscuous":true'
  eventually 20 port_has 52:54:00:00:00:77
  ip maddress add 01:00:5e:01:02:03 dev bh0
  eventually 20 port_has 01:00:5e:01:02:03
  ip link set bh0 down
  eventually 20 port_has '"enabled":false'
  ip maddress del 01:00:5e:01:02:03 dev bh0
  ip link set bh0 mtu 1500 promisc off address "$NIC_MAC" up
  eventually 10 answers
}

is_taken_by_another() {
  bulkheadctl stop nic0
  [ ! -e /sys/class/net/bh0 ] || fail "it stayed"
  [ "$(driver_of "$(e1000e_address)")" = e1000e ] || fail "the kernel has not got its NIC back"
  ip link add bh0 type dummy
  local said
  if said=$(bulkheadctl start nic0 2>&1); then fail "it took the name of another"; fi
  echo "$said" | grep "interface of kind dummy called bh0"
  [ "$(driver_of "$(e1000e_address)")" = e1000e ] || fail "the NIC was taken all the same"
  ip link delete bh0
  bulkheadctl start nic0
  [ "$(cat /sys/class/net/bh0/address)" = "$NIC_MAC" ]
}

in_a_vrf() {
  local before generation
  stop_bulkheadd
  ip link add blue type vrf table 42
  ip link set blue up
  configure "$(nic_entry auto 'master = "blue"')"
  start_bulkheadd
  eventually 30 is_in_state nic0 running
  near_up
  ip -d link show bh0
  ip link show bh0 | grep "master blue"
  eventually 10 ping -c 1 -W 1 -I blue "$FAR4"
  ip route show table 42 | grep "dev bh0"
  eventually 10 has_own_address
  if answers; then fail "the peer is reached from outside, too"; fi
  before=$(identity_of bh0) generation=$(status nic0 generation)
  kill_driver nic0
  eventually 20 is_generation nic0 $((generation + 1))
  eventually 10 ping -c 1 -W 1 -I blue "$FAR4"
  [ "$(identity_of bh0)" = "$before" ] || fail "it was: $before; it is: $(identity_of bh0)"
  ip link show bh0 | grep "master blue"
  stop_bulkheadd
  ip link delete blue
}

check "a NIC becomes an interface" appears
check "the supervisor is killed: the next one takes the interface up" supervisor_is_killed
check "a supervisor that leaves it to the next one does so in order" supervisor_hands_over
check "the broker is killed: the interface stays" broker_is_killed
check "the interface is deleted: there is another one" is_deleted
check "what the administrator sets reaches the driver" is_followed
check "a name that is taken is refused" is_taken_by_another
check "its master is a VRF" in_a_vrf
