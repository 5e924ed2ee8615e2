# shellcheck shell=bash
# lab: deadline=240
# The lab itself: whatever the other scenarios take for granted about the machine.

devices=("$(nvme_address 0)" "$(nvme_address 1)" "$(e1000e_address)" "$(virtio_net_address)" "$(edu_address)")

ids_are_right() {
  local address
  for address in "${devices[@]}"; do lspci -nn -s "$address"; done
  lspci -n -s "$(nvme_address 0)" | grep -q 1b36:0010
  lspci -n -s "$(nvme_address 1)" | grep -q 1b36:0010
  lspci -n -s "$(e1000e_address)" | grep -q 8086:10d3
  lspci -n -s "$(virtio_net_address)" | grep -q 1af4:1041
  lspci -n -s "$(edu_address)" | grep -q 1234:11e8
}

each_alone_in_its_group() {
  local address group
  for address in "${devices[@]}"; do
    group=$(group_of "$address")
    [ "$(ls "/sys/kernel/iommu_groups/$group/devices")" = "$address" ] ||
      fail "$address shares group $group: $(ls "/sys/kernel/iommu_groups/$group/devices")"
  done
}

interrupts_are_remapped() { dmesg | grep 'Enabled IRQ remapping'; }

nvme_by_serial() {
  [ "$(tr -d ' ' <"/sys/bus/pci/devices/$(nvme_address "$1")"/nvme/nvme*/serial)" = "BULKHEAD$1" ]
}

namespaces() {
  [ "$(blockdev --getss "$(kernel_block_device "$(nvme_address 0)" 1)")" = 512 ]
  [ "$(blockdev --getss "$(kernel_block_device "$(nvme_address 1)" 1)")" = 4096 ]
  [ "$(blockdev --getss "$(kernel_block_device "$(nvme_address 1)" 2)")" = 512 ]
  [ "$(blockdev --getsize64 "$(kernel_block_device "$(nvme_address 0)" 1)")" = $((512 << 20)) ]
}

vfio_takes_and_returns() {
  local address=$1 former group
  former=$(driver_of "$address")
  group=$(group_of "$address")
  bind "$address" vfio-pci
  [ "$(driver_of "$address")" = vfio-pci ]
  [ -c "/dev/vfio/$group" ]
  bind "$address" none
  [ "$(driver_of "$address")" = "$former" ] || fail "$address is with $(driver_of "$address"), not $former"
  [ ! -e "/dev/vfio/$group" ]
}

nbd_client_reaches_server() {
  truncate -s 16M "$LAB_WORK/disk"
  qemu-nbd --format=raw --socket="$LAB_WORK/nbd.sock" --fork --pid-file="$LAB_WORK/nbd.pid" "$LAB_WORK/disk"
  nbd-client -unix "$LAB_WORK/nbd.sock" /dev/nbd0
  [ "$(blockdev --getsize64 /dev/nbd0)" = $((16 << 20)) ]
  nbd-client -d /dev/nbd0
}

tap_and_vhost() {
  ip tuntap add dev lab0 mode tap
  ip link show lab0
  ip tuntap del dev lab0 mode tap
  [ -c /dev/vhost-net ]
}

cgroup_controllers() {
  local file=/sys/fs/cgroup/cgroup.subtree_control
  echo '+memory +pids +cpu' >$file
  grep -w memory $file | grep -w pids | grep -w cpu
  mkdir /sys/fs/cgroup/lab-check
  local limit
  for limit in memory pids cpu; do [ -w "/sys/fs/cgroup/lab-check/$limit.max" ]; done
  rmdir /sys/fs/cgroup/lab-check
}

landlock_present() { grep -w landlock /sys/kernel/security/lsm; }

wire_between_the_nics() {
  local near far
  near=$(ls "/sys/bus/pci/devices/$(e1000e_address)/net")
  far=$(find "/sys/bus/pci/devices/$(virtio_net_address)"/virtio*/net -mindepth 1 -maxdepth 1 -printf '%f')
  ip netns add far
  ip link set "$far" netns far
  ip -n far addr add 10.9.0.2/24 dev "$far"
  ip -n far link set "$far" up
  ip addr add 10.9.0.1/24 dev "$near"
  ip link set "$near" up
  eventually 10 ping -c 1 -W 1 10.9.0.2
  ip addr flush dev "$near"
  ip link set "$near" down
  ip -n far link set "$far" netns 1
  ip netns del far
}

hot_plug() {
  qmp device_add driver=edu id=edu-hot bus=port-spare0
  eventually 15 test -e /sys/bus/pci/devices/0000:06:00.0
  qmp --wait DEVICE_DELETED device_del id=edu-hot
  eventually 15 test ! -e /sys/bus/pci/devices/0000:06:00.0
}

check "the devices have their documented addresses and ids" ids_are_right
check "each device is alone in its IOMMU group" each_alone_in_its_group
check "interrupt remapping is on" interrupts_are_remapped
check "nvme 0 has its serial number" nvme_by_serial 0
check "nvme 1 has its serial number" nvme_by_serial 1
check "the NVMe namespaces have 512- and 4096-byte blocks" namespaces
check "vfio-pci takes edu and returns it" vfio_takes_and_returns "$(edu_address)"
check "vfio-pci takes nvme 0 and returns it" vfio_takes_and_returns "$(nvme_address 0)"
check "the kernel's NBD client reaches a server" nbd_client_reaches_server
check "TAP and vhost-net are there" tap_and_vhost
check "cgroup v2 controls memory, pids and cpu" cgroup_controllers
check "Landlock is present" landlock_present
check "e1000e and virtio-net are on one wire" wire_between_the_nics
check "QMP plugs and unplugs a device" hot_plug
