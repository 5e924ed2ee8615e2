# shellcheck shell=bash
# lab: deadline=500
# The second network driver: a virtio-net device behind the IOMMU as the interface bh0, and one that is not refused.

behind_iommu=0000:08:00.0
virtio_mac=52:54:00:00:00:03
# Where one is put later.
small_mtu=0000:06:00.0

on_exit stop_bulkheadd

# entry ADDRESS [DATAPATH]
entry() {
  printf '[[device]]\nname = "nic0"\naddress = "%s"\ndriver = "virtio-net"\noutlet = { interface = "bh0", datapath = "%s" }\n' \
    "$1" "${2:-auto}"
}

# Its DMA would go past the IOMMU; the kernel has it again afterwards, for the other end of the wire.
refuses_a_device_past_the_iommu() {
  local device
  device=$(virtio_net_address)
  configure "$(entry "$device")"
  start_bulkheadd
  eventually 20 grep -q "does not offer VIRTIO_F_ACCESS_PLATFORM" "$LAB_OUT/bulkheadd.log"
  [ ! -d /sys/class/net/bh0 ] || [ "$(cat /sys/class/net/bh0/carrier 2>/dev/null || echo 0)" = 0 ]
  stop_bulkheadd
  [ "$(driver_of "$device")" = virtio-pci ] || bind "$device" none
  eventually 10 test -d "/sys/bus/pci/devices/$device/driver"
}
check "a device that is not behind the IOMMU is refused" refuses_a_device_past_the_iommu

peer_begin

appears() {
  start_nic "$(entry "$behind_iommu" "$1")"
  [ "$(cat /sys/class/net/bh0/address)" = "$virtio_mac" ] || fail "address $(cat /sys/class/net/bh0/address)"
  bulkheadctl status nic0
  ethtool -k bh0 | grep -E 'tx-tcp-ecn-segmentation|tcp-segmentation-offload'
}

carries() {
  answers "$FAR6"
  transfer both "$FAR4" 64
  transfer both "$FAR6" 16
}

jumbo() {
  mtu_both 9000
  eventually 10 answers
  ping -c 1 -W 2 -M "do" -s 8972 "$FAR4"
  transfer both "$FAR4" 32
  mtu_both 1500
}

# The driver was told; the second line is what it was told.
listens_to_everything() { [ "$(bulkheadctl status nic0 | grep -c promiscuous)" = 2 ]; }
follows_the_interface() {
  ip link set bh0 address 52:54:00:00:00:77
  ip neigh flush dev bh0
  peer ip neigh flush dev peer0
  eventually 10 answers
  ip link set bh0 promisc on
  eventually 20 listens_to_everything
  ip link set bh0 promisc off
  ip link set bh0 down
  ip link set bh0 up
  eventually 10 has_carrier
  ip addr show dev bh0 | grep -q "$NEAR6" || ip addr add "$NEAR6/64" dev bh0 nodad
  eventually 10 answers
}

follows_the_link() {
  qmp set_link name=virtio1 up=false
  eventually 20 has_no_carrier
  qmp set_link name=virtio1 up=true
  eventually 20 has_carrier
  eventually 10 answers
}

survives_kills() {
  local before
  before=$(identity_of bh0)
  transfer "in" "$FAR4" 64 8 &
  local download=$!
  for _ in 1 2 3; do
    sleep 2
    kill -KILL "$(pids_of udriver-virtio-net | tail -n 1)"
  done
  wait "$download" || fail "the download broke off"
  [ "$(identity_of bh0)" = "$before" ] || fail "the interface is not what it was"
}

for datapath in vhost broker; do
  check "$datapath: the interface appears with the device's address" appears "$datapath"
  check "$datapath: TCP both ways, IPv4 and IPv6" carries
  check "$datapath: MTU 9000" jumbo
  check "$datapath: the carrier follows the link" follows_the_link
  check "$datapath: kills of the driver during a download" survives_kills
  check "$datapath: address, promiscuous mode, down and up" follows_the_interface
  stop_bulkheadd
done

# As in clouds: a device that says an MTU of 1460.
has_mtu() { [ "$(cat /sys/class/net/bh0/mtu)" = "$1" ]; }
serves_a_small_mtu() {
  qmp netdev_add type=hubport id=hub-small hubid=0
  qmp device_add driver=virtio-net-pci id=virtio-small netdev=hub-small mac=52:54:00:00:00:04 bus=port-spare0 romfile= \
    disable-legacy=on iommu_platform=true host_mtu=1460
  eventually 20 test -e "/sys/bus/pci/devices/$small_mtu"
  start_nic "$(entry "$small_mtu" "$1")"
  bulkheadctl status nic0
  has_mtu 1460 || fail "MTU $(cat /sys/class/net/bh0/mtu)"
  [ "$(status nic0 outlet.port.settings.mtu)" = 1460 ] || fail "the driver was not told"
  [ -z "$(status nic0 outlet.port.settingsError)" ] || fail "the driver refused"
  ping -c 1 -W 2 -M "do" -s 1432 "$FAR4"
  transfer both "$FAR4" 16
  ip link set bh0 mtu 1500
  eventually 20 has_mtu 1460
  answers
  stop_bulkheadd
  qmp --wait DEVICE_DELETED device_del id=virtio-small
  qmp netdev_del id=hub-small
}
check "vhost: a device whose MTU is smaller than Ethernet's" serves_a_small_mtu vhost
check "broker: a device whose MTU is smaller than Ethernet's" serves_a_small_mtu broker

no_dma_faults() {
  ! lab_kernel_log | grep -E 'DMAR:.*fault' || fail "the device was told to use other memory"
}
check "no DMA fault in all of this" no_dma_faults
