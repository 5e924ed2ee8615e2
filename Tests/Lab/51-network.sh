# shellcheck shell=bash
# lab: deadline=1500
# The network class's main job: the e1000e under its jailed driver, served as the interface bh0.

on_exit stop_bulkheadd
peer_begin

appears() {
  start_nic "$(nic_entry "$1")"
  [ "$(cat /sys/class/net/bh0/address)" = "$NIC_MAC" ] || fail "address $(cat /sys/class/net/bh0/address)"
  [ "$(cat /sys/class/net/bh0/mtu)" = 1500 ] || fail "MTU $(cat /sys/class/net/bh0/mtu)"
  bulkheadctl status nic0
  bulkheadctl list | grep -E "nic0 .*e1000e .*running"
  ethtool -k bh0 | grep -E '(tx-checksumming|tx-tcp-segmentation|tx-tcp6-segmentation):' | tee "$LAB_WORK/offloads"
  [ "$(grep -c ': on$' "$LAB_WORK/offloads")" = 3 ] || fail "an offload is missing"
  # The 82574 cuts no segments with CWR right: the kernel does.
  ethtool -k bh0 | grep -E 'tx-tcp-ecn-segmentation: off' || fail "segments with CWR are left to the NIC"
}

# neighbours NEAR FAR: both ends find each other's hardware address anew.
neighbours() {
  ip neigh flush dev bh0
  peer ip neigh flush dev peer0
  answers "$2"
  ip neigh show "$2" dev bh0 | grep -F 52:54:00:00:00:02
  ip neigh flush dev bh0
  peer ip neigh flush dev peer0
  peer ping -c 1 -W 2 "$1"
  peer ip neigh show "$1" dev peer0 | grep -F "$NIC_MAC"
}

# multicasts GROUP TO-INTERFACE FROM-INTERFACE: the receiver is at the other end if TO-INTERFACE is.
multicasts() {
  local to=() from=() receiver
  if [ "$2" = bh0 ]; then from=(peer); else to=(peer); fi
  "${to[@]}" /lab/share/guest/multicast receive "$2" "$1" 5901 30 >"$LAB_WORK/multicast" &
  receiver=$!
  eventually 20 grep -q joined "$LAB_WORK/multicast"
  "${from[@]}" /lab/share/guest/multicast send "$3" "$1" 5901 "for $1 at $2"
  wait "$receiver" || fail "nothing came for $1 at $2"
  tail -n 1 "$LAB_WORK/multicast"
  grep -qx "for $1 at $2" "$LAB_WORK/multicast"
}
both_multicasts() {
  local group
  for group in 239.1.2.3 ff15::77; do
    multicasts "$group" bh0 peer0
    multicasts "$group" peer0 bh0
  done
}

set_mtu() {
  mtu_both "$1"
  ip link set near.7 mtu "$1"
  peer ip link set far.7 mtu "$1"
  eventually 10 answers
  # The whole of it, in one piece.
  ping -c 1 -W 2 -M "do" -s $(($1 - 28)) "$FAR4"
  ping -c 1 -W 2 -M "do" -s $(($1 - 28)) "$FAR_VLAN4"
}

# offloads on|off
offloads() {
  ethtool -K bh0 tx "$1" tso "$1" >/dev/null
}

# SMALL_TRANSFER MB each way for each combination that no longer transfer covers.
combinations() {
  local mtu offload address
  for mtu in 1500 9000; do
    set_mtu "$mtu" >/dev/null
    for offload in off on; do
      offloads "$offload"
      for address in "$FAR4" "$FAR6" "$FAR_VLAN4" "$FAR_VLAN6"; do
        echo "MTU $mtu, offloads $offload"
        transfer both "$address" "$SMALL_TRANSFER"
      done
    done
  done
  set_mtu 1500 >/dev/null
}

# at_mtu MTU ADDRESS: TRANSFER MB each way.
at_mtu() {
  set_mtu "$1"
  transfer both "$2" "$TRANSFER"
  set_mtu 1500
}

without_ethtool_offloads() {
  offloads off
  transfer both "$FAR4" "$TRANSFER"
  offloads on
}

# in_time COMMAND...: within a second, and says how long it took. What make test runs on may be busy: it has ten.
in_time() {
  local start=${EPOCHREALTIME/./} now limit=10
  [ "$LAB_EFFORT" != full ] || limit=1
  until "$@"; do
    now=${EPOCHREALTIME/./}
    [ $((now - start)) -lt $((limit * 1000000)) ] || fail "not within $limit s: $*"
    sleep 0.02
  done
  now=${EPOCHREALTIME/./}
  echo "$*: after $(((now - start) / 1000)) ms"
}
follows_the_link() {
  qmp set_link name=e1000e up=false
  in_time has_no_carrier
  ip link show bh0
  ip link show bh0 | grep -F NO-CARRIER
  qmp set_link name=e1000e up=true
  in_time has_carrier
  eventually 10 answers
}

for datapath in vhost broker; do
  long_check=check
  [ "$datapath" = vhost ] || long_check=full_check
  check "$datapath: the interface appears, with the NIC's address and offloads" appears "$datapath"
  vlan_up
  check "$datapath: ARP both ways" neighbours "$NEAR4" "$FAR4"
  check "$datapath: IPv6 neighbour discovery both ways" neighbours "$NEAR6" "$FAR6"
  check "$datapath: multicast both ways, IPv4 and IPv6" both_multicasts
  check "$datapath: $TRANSFER MB each way, IPv4, offloads on" transfer both "$FAR4" "$TRANSFER"
  $long_check "$datapath: $SMALL_TRANSFER MB each way in all combinations of MTU, offloads, family and VLAN" combinations
  if [ "$datapath" = vhost ]; then
    check "$datapath: $TRANSFER MB each way, IPv6, MTU 9000" at_mtu 9000 "$FAR6"
    check "$datapath: $TRANSFER MB each way, tagged" transfer both "$FAR_VLAN4" "$TRANSFER"
    check "$datapath: $TRANSFER MB each way, the kernel segments and sums" without_ethtool_offloads
  fi
  check "$datapath: carrier follows the NIC's link, down and up" follows_the_link
  vlan_down
  check "$datapath: the daemon ends in order" stop_bulkheadd
done

# The driver itself offers none: nothing larger than a frame and no unfinished checksum may cross the TAP.
driver_without_offloads() {
  start_nic "$(nic_entry "$1" '' 'options = { segmentation = "0", checksum = "0" }')"
  ethtool -k bh0 | grep -E '^(tx-checksumming|tcp-segmentation-offload):' | tee "$LAB_WORK/offloads"
  ! grep ': on$' "$LAB_WORK/offloads" || fail "an offload that the driver does not have"
  transfer both "$FAR4" "$2"
  transfer both "$FAR6" 32
  stop_bulkheadd
}
check "vhost: $TRANSFER MB each way, a driver without offloads" driver_without_offloads vhost "$TRANSFER"
full_check "broker: 64 MB each way, a driver without offloads" driver_without_offloads broker 64

given_back() {
  eventually 10 test "$(driver_of "$(e1000e_address)")" = e1000e
  [ ! -e /sys/class/net/bh0 ] || fail "bh0 is still there"
  [ -z "$(pids_of bulkhead-broker)$(pids_of udriver-e1000e)" ] || fail "processes are left"
}
check "the kernel's own driver has the NIC again, and nothing is left" given_back
