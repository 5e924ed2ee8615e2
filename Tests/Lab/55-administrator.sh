# shellcheck shell=bash
# lab: full
# lab: deadline=700
# An administrator's walk: what works on a NIC's interface works on this one, with the tools of a Debian with systemd.

trap_other=02:00:00:00:00:99
tidy() {
  systemctl stop bulkhead systemd-networkd.socket systemd-networkd
  rm -f /etc/systemd/network/10-bh0.network
  ip netns del inner
  ip netns del apart
  ip netns del aside
  ip link del br0
}
on_exit tidy
peer_begin

# The addresses are networkd's from the start; it finds the interface whenever it comes.
networkd_configures() {
  mkdir -p /etc/systemd/network
  cat >/etc/systemd/network/10-bh0.network <<END
[Match]
Name=bh0
[Network]
Address=$NEAR4/24
Address=$NEAR6/64
LinkLocalAddressing=ipv6
IPv6AcceptRA=no
ConfigureWithoutCarrier=yes
END
  systemctl start systemd-networkd
  configure "$(nic_entry auto)"
  systemctl start bulkhead
  eventually 30 is_in_state nic0 running
  eventually 20 answers
  eventually 20 answers "$FAR6"
  networkctl status bh0 --no-pager | cat
  networkctl list bh0 --no-legend --no-pager | grep -E 'bh0 +ether +routable +configured'
}
check "networkd finds the interface and configures it" networkd_configures

shown() {
  ip -d link show bh0
  ip link show bh0 | grep -F 'LOWER_UP'
  ip link show bh0 | grep -F "link/ether $NIC_MAC"
  ip addr show bh0 | grep -F "inet $NEAR4/24"
  ethtool -i bh0
  bulkheadctl status nic0
  bulkheadctl status --json nic0 | grep -F '"bh0"'
}
check "ip link, ip addr, ethtool and bulkheadctl show it" shown

# counter NAME: of the interface.
counter() { cat "/sys/class/net/bh0/statistics/$1"; }
counts() {
  local sent received errors
  errors=$(($(counter tx_errors) + $(counter rx_errors)))
  sent=$(counter tx_packets) received=$(counter rx_packets)
  ping -q -i 0.01 -c 200 -s 1000 "$FAR4"
  sent=$(($(counter tx_packets) - sent)) received=$(($(counter rx_packets) - received))
  ip -s link show bh0
  echo "sent $sent, received $received"
  # A few of ARP and ND may come between.
  if [ "$sent" -lt 200 ] || [ "$sent" -gt 220 ]; then fail "sent $sent"; fi
  if [ "$received" -lt 200 ] || [ "$received" -gt 220 ]; then fail "received $received"; fi
  [ "$(($(counter tx_errors) + $(counter rx_errors)))" = "$errors" ] || fail "errors are counted"
}
check "ip -s link counts what was sent and received" counts

# Of TCP the interface counts trains that the driver has joined; the NIC's own statistics count frames.
counts_of_the_nic() {
  local frames packets
  frames=$(status nic0 outlet.port.counters.received-frames) packets=$(counter rx_packets)
  transfer "in" "$FAR4" 16
  frames=$(($(status nic0 outlet.port.counters.received-frames) - frames)) packets=$(($(counter rx_packets) - packets))
  echo "16 MB: $frames frames, $packets packets of the interface"
  # 1448 bytes in each, a few of ARP and ND, and what was sent again.
  if [ "$frames" -lt 11500 ] || [ "$frames" -gt 12500 ]; then fail "$frames frames"; fi
  [ "$packets" -lt "$frames" ] || fail "nothing was joined"
}
check "status counts frames of TCP, which the interface counts by trains" counts_of_the_nic

# seen OPTION EXPRESSION COMMAND...: what tcpdump sees on bh0 while COMMAND runs. With -p it does not ask for promiscuity.
seen() {
  local option=$1 expression=$2 watcher
  shift 2
  tcpdump "$option" -l -n -e -i bh0 "$expression" >"$LAB_WORK/tcpdump" 2>"$LAB_WORK/tcpdump.err" &
  watcher=$!
  eventually 10 grep -q 'listening on' "$LAB_WORK/tcpdump.err"
  # What tcpdump asked of the interface must have reached the NIC.
  sleep 0.5
  "$@" >/dev/null 2>&1 || true
  sleep 0.5
  kill "$watcher"
  wait "$watcher" 2>/dev/null || true
  # At its end it says an empty line.
  grep . "$LAB_WORK/tcpdump" || true
}

sees_frames() {
  seen -e icmp ping -c 3 -i 0.2 "$FAR4" >/dev/null
  cat "$LAB_WORK/tcpdump"
  [ "$(grep -c 'echo request' "$LAB_WORK/tcpdump")" = 3 ] || fail "the requests"
  [ "$(grep -c 'echo reply' "$LAB_WORK/tcpdump")" = 3 ] || fail "the replies"
}
check "tcpdump sees frames both ways" sees_frames

# The other end sends to a hardware address that nobody has.
to_a_stranger() {
  peer ip neigh replace 10.9.0.77 lladdr "$trap_other" dev peer0 nud permanent
  peer ping -c 3 -i 0.2 -W 1 10.9.0.77
}
promiscuous() {
  seen -p "ether dst $trap_other" to_a_stranger | tee "$LAB_WORK/without"
  [ ! -s "$LAB_WORK/without" ] || fail "frames for a stranger come without promiscuity"
  seen -e "ether dst $trap_other" to_a_stranger | tee "$LAB_WORK/with"
  grep -q "$trap_other" "$LAB_WORK/with" || fail "tcpdump's promiscuity does not reach the NIC"
  ip link set bh0 promisc on
  seen -p "ether dst $trap_other" to_a_stranger | grep -q "$trap_other" || fail "promisc on does not reach the NIC"
  ip link set bh0 promisc off
}
check "promiscuity reaches the NIC: tcpdump's own, and ip link's" promiscuous

# An interface on top with an address of its own makes bh0 promiscuous, and the kernel tells nobody.
on_top() {
  ip netns add aside
  ip link add mv0 link bh0 type macvlan mode bridge
  ip link set mv0 netns aside
  ip -n aside addr add 10.9.0.5/24 dev mv0
  ip -n aside link set mv0 up
  eventually 10 peer ping -c 1 -W 1 10.9.0.5
  ip -n aside link del mv0
  ip netns del aside
  eventually 10 answers
}
check "a macvlan in a namespace is reached: its address reaches the NIC" on_top

# Its hash shares no bit of the NIC's filter with the groups of IPv6 that are always joined.
to_a_group() { peer /lab/share/guest/multicast send peer0 239.77.66.55 5902 hello; }
all_multicast() {
  ip link set bh0 allmulticast on
  seen -p 'dst 239.77.66.55' to_a_group | grep -q 239.77.66.55 || fail "allmulticast on does not reach the NIC"
  ip link set bh0 allmulticast off
}
check "all multicast reaches the NIC" all_multicast

other_mtu() {
  mtu_both 9000
  eventually 10 answers
  ping -c 1 -W 2 -M "do" -s 8972 "$FAR4"
  mtu_both 1500
  eventually 10 answers
}
check "ip link set mtu reaches the NIC" other_mtu

other_address() {
  ip link set bh0 address 52:54:00:00:00:aa
  peer ip neigh flush dev peer0
  eventually 10 peer ping -c 1 -W 1 "$NEAR4"
  peer ip neigh show "$NEAR4" dev peer0 | grep -F 52:54:00:00:00:aa
  ip link set bh0 address "$NIC_MAC"
  peer ip neigh flush dev peer0
  eventually 10 peer ping -c 1 -W 1 "$NEAR4"
}
check "ip link set address reaches the NIC" other_address

offloads() { ethtool -k bh0 | grep -F tcp-segmentation-offload; }
offloads_stay() {
  local generation
  generation=$(status nic0 generation)
  offloads | grep -F ': on'
  ethtool -K bh0 tso off
  offloads | grep -F ': off'
  kill_driver nic0
  eventually 20 is_generation nic0 $((generation + 1))
  eventually 10 answers
  offloads | grep -F ': off'
  ethtool -K bh0 tso on
  offloads | grep -F ': on'
}
check "what ethtool -K has switched off stays off for the next driver" offloads_stay

down_and_up() {
  local received
  ip link set bh0 down
  ip link show bh0 | grep -F 'state DOWN'
  sleep 0.5
  received=$(counter rx_packets)
  ! peer ping -c 3 -i 0.2 -W 1 "$NEAR4" || fail "it answers although it is down"
  [ "$(counter rx_packets)" = "$received" ] || fail "frames come although it is down"
  ip link set bh0 up
  eventually 10 answers
}
check "down and up" down_and_up

# A machine behind a bridge: frames with another source address out, frames for another address in.
bridged() {
  ip netns add inner
  ip link add inner0 type veth peer name outer0
  ip link set inner0 netns inner
  ip -n inner addr add 10.9.0.3/24 dev inner0
  ip -n inner link set inner0 up
  ip link add br0 type bridge
  ip link set outer0 master br0 up
  ip link set bh0 master br0
  ip link set br0 up
  eventually 20 ip netns exec inner ping -c 1 -W 1 "$FAR4"
  bridge link show | tee "$LAB_WORK/bridge"
  grep -E 'bh0.*master br0 state forwarding' "$LAB_WORK/bridge"
  bridge fdb show br br0 | grep -E '52:54:00:00:00:02 dev bh0'
}
check "as a port of a bridge: frames are forwarded" bridged

survives() {
  local generation
  identity_of bh0 >"$LAB_WORK/identity"
  generation=$(status nic0 generation)
  kill_driver nic0
  eventually 20 is_generation nic0 $((generation + 1))
  identity_of bh0 | diff "$LAB_WORK/identity" - || fail "the interface is not the same as before"
  eventually 20 ip netns exec inner ping -c 1 -W 1 "$FAR4"
  bridge link show | grep -E 'bh0.*master br0 state forwarding'
  networkctl list bh0 --no-legend --no-pager
}
check "the next driver: bridge membership and addresses stay, frames are forwarded again" survives

to_its_own() {
  ip link set bh0 nomaster
  eventually 10 answers
  systemctl stop bulkhead
  [ ! -e /sys/class/net/bh0 ] || fail "bh0 is still there"
  # networkd takes an interface out of the bridge that its file does not name, unless that says KeepMaster=yes.
  rm /etc/systemd/network/10-bh0.network
  networkctl reload
  configure "$(nic_entry auto 'master = "br0", mtu = 4000, mac = "52:54:00:00:00:bb"')"
  systemctl start bulkhead
  eventually 30 is_in_state nic0 running
  ip link show bh0
  ip link show bh0 | grep -E 'mtu 4000 .*master br0'
  ip link show bh0 | grep -F 52:54:00:00:00:bb
  ip link set bh0 up
  eventually 20 ip netns exec inner ping -c 1 -W 1 "$FAR4"
  systemctl stop bulkhead
}
check "master, MTU and address by configuration" to_its_own

apart() {
  systemctl stop bulkhead
  ip netns add apart
  configure "$(nic_entry auto 'namespace = "apart"')"
  systemctl start bulkhead
  eventually 30 is_in_state nic0 running
  [ ! -e /sys/class/net/bh0 ] || fail "bh0 is here"
  ip -n apart link show bh0
  ip -n apart addr add 10.9.0.4/24 dev bh0
  ip -n apart link set bh0 up
  eventually 20 ip netns exec apart ping -c 1 -W 1 "$FAR4"
  ip -n apart link set bh0 mtu 9000
  peer ip link set peer0 mtu 9000
  eventually 10 ip netns exec apart ping -c 1 -W 2 -M "do" -s 8972 "$FAR4"
  systemctl stop bulkhead
  ! ip -n apart link show bh0 2>/dev/null || fail "bh0 is still there"
}
check "in a network namespace by configuration, and followed there" apart
