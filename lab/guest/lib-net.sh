# shellcheck shell=bash
# Part of lib.sh: the e1000e under Bulkhead as the interface bh0, and what is at the other end of its wire: the kernel's
# virtio-net NIC, in the network namespace "peer", as peer0.

NEAR4=10.9.0.1 FAR4=10.9.0.2 NEAR6=fd09::1 FAR6=fd09::2
# shellcheck disable=SC2034 # for the scenarios
NEAR_VLAN4=10.97.0.1 FAR_VLAN4=10.97.0.2 NEAR_VLAN6=fd97::1 FAR_VLAN6=fd97::2
# shellcheck disable=SC2034
NIC_MAC=52:54:00:00:00:01
TRANSFER_PORT=5900
# Megabytes of the large transfers, and of those in many combinations.
# shellcheck disable=SC2034 # for the scenarios
if [ "$LAB_EFFORT" = full ]; then TRANSFER=512 SMALL_TRANSFER=32; else TRANSFER=64 SMALL_TRANSFER=8; fi

# peer COMMAND...: at the other end of the wire.
peer() { ip netns exec peer "$@"; }

# peer_begin: the other end, with its addresses, and the server of transfers.
peer_begin() {
  local nic
  nic=$(find "/sys/bus/pci/devices/$(virtio_net_address)"/virtio*/net -mindepth 1 -maxdepth 1 -printf '%f')
  ip netns add peer
  ip link set "$nic" down
  ip link set "$nic" name peer0 netns peer
  peer ip link set lo up
  peer ip addr add "$FAR4/24" dev peer0
  peer ip addr add "$FAR6/64" dev peer0 nodad
  peer ip link set peer0 up
  peer /lab/share/guest/tcp-transfer serve "$TRANSFER_PORT" &
  PEER_SERVER=$!
  on_exit peer_end
}
peer_end() {
  kill "$PEER_SERVER" 2>/dev/null || true
  peer ip link set peer0 name eth-peer netns 1 2>/dev/null || true
  ip netns del peer
}

# near_up [INTERFACE]: this end of the wire gets its addresses and is set up.
near_up() {
  local interface=${1:-bh0}
  ip addr add "$NEAR4/24" dev "$interface"
  ip addr add "$NEAR6/64" dev "$interface" nodad
  ip link set "$interface" up
}

# vlan_up [INTERFACE]: VLAN 7 at both ends.
vlan_up() {
  local interface=${1:-bh0}
  ip link add link "$interface" name near.7 type vlan id 7
  ip addr add "$NEAR_VLAN4/24" dev near.7
  ip addr add "$NEAR_VLAN6/64" dev near.7 nodad
  ip link set near.7 up
  peer ip link add link peer0 name far.7 type vlan id 7
  peer ip addr add "$FAR_VLAN4/24" dev far.7
  peer ip addr add "$FAR_VLAN6/64" dev far.7 nodad
  peer ip link set far.7 up
}

vlan_down() {
  peer ip link del far.7
  # It goes with the interface below it.
  [ ! -e /sys/class/net/near.7 ] || ip link del near.7
}

# mtu_both MTU [INTERFACE]
mtu_both() {
  ip link set "${2:-bh0}" mtu "$1"
  peer ip link set peer0 mtu "$1"
}

# answers [ADDRESS]: one ping.
answers() { ping -c 1 -W 1 "${1:-$FAR4}"; }

# transfer out|in|both [ADDRESS [MEGABYTES [MEGABYTES-A-SECOND]]]: over TCP, with hashes taken at both ends.
transfer() { /lab/share/guest/tcp-transfer "$1" "${2:-$FAR4}" "$TRANSFER_PORT" "${3:-$TRANSFER}" "${4:-0}"; }

has_carrier() { [ "$(cat "/sys/class/net/${1:-bh0}/carrier" 2>/dev/null)" = 1 ]; }
has_no_carrier() { [ "$(cat "/sys/class/net/${1:-bh0}/carrier" 2>/dev/null)" = 0 ]; }

# The kernel's own address follows the carrier in its time, and is a part of what the interface is.
has_own_address() { ip -6 addr show dev bh0 scope link | grep -q fe80; }

# identity_of INTERFACE: what must survive the interface's driver.
identity_of() {
  ip -o link show dev "$1" | sed -E 's/^([0-9]+: [^:]*:).*(link\/ether [0-9a-f:]*).*/\1 \2/'
  ip -o addr show dev "$1" | awk '{ print $3, $4 }' | sort
  { ip route show dev "$1"; ip -6 route show dev "$1"; } | sed -E 's/ (linkdown|dead)//g; s/ pref medium//; s/ *$//' | sort
}

# nic_entry [DATAPATH [OUTLET [LINES]]]: the text of the [[device]] of the NIC; OUTLET are more of its keys.
nic_entry() {
  printf '[[device]]\nname = "nic0"\naddress = "%s"\ndriver = "%s"\noutlet = { interface = "bh0", datapath = "%s"%s }\n%s\n' \
    "$(e1000e_address)" "${NIC_DRIVER:-e1000e}" "${1:-auto}" "${2:+, $2}" "${3:-}"
}

# start_nic ENTRY...: configures these devices, the NIC first, starts bulkheadd, and waits for the interface and carrier.
start_nic() {
  configure "$@"
  start_bulkheadd
  eventually 30 is_in_state nic0 running
  eventually 10 test -d /sys/class/net/bh0
  near_up bh0
  eventually 10 has_carrier bh0
  eventually 10 answers
  eventually 10 has_own_address
}
