# shellcheck shell=bash
# lab: full
# lab: own-boot
# lab: reboot
# lab: tree=packages
# lab: deadline=1800
# A Debian server as its administrator meets it: the package, a few lines of configuration, a reboot, a device that is
# plugged in, a driver from elsewhere, the package's end.

disk0=$(nvme_address 0)
disk1=$(nvme_address 1)
data=/srv/scratch

# entry NAME ADDRESS [DRIVER]: adds a device, as one does with an editor.
entry() { device_entry "$@" >>/etc/bulkhead/bulkhead.toml; }
# As an administrator does who is asked nothing.
apt_get() { DEBIAN_FRONTEND=noninteractive apt-get -y -o Dpkg::Use-Pty=0 "$@"; }
is_mounted() { findmnt --noheadings --output SOURCE "$data"; }
write_file() {
  dd if=/dev/urandom of="$data/$1" bs=1M count=4 conv=fsync status=none
  (cd "$data" && sha256sum "$1" >>sums)
}
files_are_right() {
  sync
  echo 3 >/proc/sys/vm/drop_caches
  (cd "$data" && sha256sum --quiet --check sums)
}
# Everything that a package or a daemon could have left.
traces() {
  find /etc /lib /usr /var /run /dev -xdev \( -name '*bulkhead*' -o -name '*udriver*' \) \
    ! -path '/usr/share/lintian/*' ! -path '/run/udev/*' ! -path '/var/log/*' 2>/dev/null
  getent group bulkhead || true
}

installs() {
  [ -z "$(traces)" ] || fail "not a clean image: $(traces)"
  apt_get install /packages/bulkhead_*.deb
  systemctl is-active bulkhead.service bulkhead.socket bulkhead-devices.service
  bulkheadctl list --all
  [ -d /etc/bulkhead/bulkhead.d ]
  [ "$(driver_of "$disk0")" = nvme ] || fail "a device was taken that nobody has named"
  getent group bulkhead
  for module in vfio_pci nbd tun vhost_net; do [ -d "/sys/module/$module" ] || fail "no module $module"; done
}

# The other end of the wire: the machine's virtio card, with an address in a network namespace of its own.
peer() {
  [ ! -e /run/netns/peer ] || return 0
  local interface
  interface=$(ls "/sys/bus/pci/devices/$(virtio_net_address)"/virtio*/net)
  ip netns add peer
  ip link set "$interface" netns peer
  ip -n peer address add 192.0.2.2/24 dev "$interface"
  ip -n peer link set "$interface" up
}
is_configured() { networkctl list --no-legend --no-pager "$1" | grep -E 'routable +configured'; }
network_is_up() {
  peer
  eventually 20 is_in_state uplink running
  eventually 20 ping -c 1 -W 2 -I bh-uplink 192.0.2.2
  ip -o -4 address show dev bh-uplink | grep -F 192.0.2.1/24
  eventually 10 is_configured bh-uplink
}

# A few lines of configuration, one command: both outlets.
triggers() {
  entry scratch "$disk0"
  entry uplink "$(e1000e_address)" e1000e
  printf '[Match]\nProperty=ID_BULKHEAD=bulkhead-%s\n[Network]\nAddress=192.0.2.1/24\nLinkLocalAddressing=no\nIPv6AcceptRA=no\n' "$(e1000e_address)" \
    >/etc/systemd/network/10-uplink.network
  systemctl enable --now systemd-networkd
  bulkheadd --check-config
  udevadm trigger
  eventually 20 is_in_state scratch running
  eventually 10 test -b /dev/bulkhead/scratch
  [ "$(readlink -f "/dev/disk/by-id/bulkhead-$disk0-0")" = "$(readlink -f /dev/bulkhead/scratch)" ] || fail "by-id differs"
  eventually 20 systemctl is-active dev-bulkhead-scratch.device
  [ "$(driver_of "$disk1")" = nvme ] || fail "a device was taken that nobody has named"
  local group=/sys/fs/cgroup/bulkhead.slice/bulkhead-devices.service/$disk0
  [ "$(cat "$group/driver/memory.max")" = 67108864 ] || fail "no memory limit"
  grep -qx "$(status scratch driverPid)" "$group/driver/cgroup.procs" || fail "the driver is not in its group"
  systemd-cgls --no-pager /bulkhead.slice
}

connects() {
  network_is_up
  [ "$(cat /sys/class/net/bh-uplink/address)" = 52:54:00:00:00:01 ] || fail "it has not the card's address"
}

confined() {
  local unit
  for unit in bulkhead.service bulkhead-devices.service; do
    systemd-analyze security --no-pager --threshold=40 "$unit" | tail -1
  done
  # The image has no manual pages; make lint looks at them.
  systemd-analyze verify --man=no /lib/systemd/system/bulkhead*
}

# What the package says to others: the journal's explanations, and that needrestart is to leave its services alone, as
# needrestart reads it (/etc/needrestart/needrestart.conf).
tells_others() {
  journalctl --list-catalog | grep ' Bulkhead: ' | tee "$LAB_WORK/catalog"
  [ "$(wc -l <"$LAB_WORK/catalog")" = 4 ] || fail "there are others in the catalog"
  cat >"$LAB_WORK/needrestart" <<'END'
our %nrconf = (override_rc => { qr(^dbus) => 0 });
my $fn = shift;
eval do { local(@ARGV, $/) = $fn; <> };
die $@ if $@;
for my $rc (@ARGV) {
  my @stays = grep { $rc =~ /$_/ && !$nrconf{override_rc}->{$_} } keys %{$nrconf{override_rc}};
  print "$rc ", @stays ? "stays" : "is restarted", "\n";
}
END
  perl "$LAB_WORK/needrestart" /etc/needrestart/conf.d/bulkhead.conf \
    bulkhead.service bulkhead-devices.service ssh.service bulkhead.service.old | tee "$LAB_WORK/said"
  printf '%s\n' 'bulkhead.service stays' 'bulkhead-devices.service stays' 'ssh.service is restarted' \
    'bulkhead.service.old is restarted' | diff - "$LAB_WORK/said"
}

# A supervisor that is gone, by signal $1, is not noticed by its disks.
supervisor_goes() {
  local driver
  driver=$(status scratch driverPid)
  systemctl kill --signal="$1" --kill-who=main bulkhead
  sleep 0.2
  kill -0 "$driver" || fail "the driver went with it"
  write_file "after-$1"
  eventually 20 is_in_state scratch running
  write_file "again-$1"
  files_are_right
  systemctl is-active bulkhead
}

upgrades() {
  dpkg --install /packages/bulkhead_*.deb
  write_file upgrade
  eventually 20 is_in_state scratch running
  is_mounted
  files_are_right
  systemctl is-active bulkhead.service bulkhead.socket
}

refuses_removal() {
  ! apt_get remove bulkhead >"$LAB_WORK/removal" 2>&1 || fail "it went"
  grep -F "is mounted on $data" "$LAB_WORK/removal"
  is_in_state scratch running
}

# A disk of ours as swap space, with what docs/administrators.md says that it needs.
is_swap() { swapon --noheadings --show=NAME | grep -qx "$(readlink -f /dev/bulkhead/spare)"; }
swap_space() {
  entry spare "$disk1"
  systemctl reload bulkhead
  eventually 20 is_in_state spare running
  eventually 10 test -b /dev/bulkhead/spare
  mkswap /dev/bulkhead/spare
  echo "/dev/bulkhead/spare none swap nofail 0 0" >>/etc/fstab
  mkdir /etc/systemd/system/dev-bulkhead-spare.swap.d
  printf '[Unit]\nAfter=bulkhead.service\n' >/etc/systemd/system/dev-bulkhead-spare.swap.d/order.conf
  systemctl daemon-reload
  systemctl start dev-bulkhead-spare.swap
  is_swap
}
swap_space_again() {
  eventually 20 is_swap
  journalctl --boot=-1 --output=short-monotonic --no-pager |
    grep -E "Deactivated swap dev-bulkhead-spare|Stopping bulkhead.service" | tail -n 2 | tee "$LAB_WORK/order"
  head -n 1 "$LAB_WORK/order" | grep -qF 'Deactivated swap' || fail "its disk went first"
  [ "$(wc -l <"$LAB_WORK/order")" = 2 ]
  systemctl stop dev-bulkhead-spare.swap
  ! is_swap || fail "it is still in use"
  sed -i '/spare/d' /etc/fstab
  rm -r /etc/systemd/system/dev-bulkhead-spare.swap.d
  systemctl daemon-reload
  bulkheadctl stop spare
  [ "$(driver_of "$disk1")" = nvme ] || fail "it is with $(driver_of "$disk1")"
}

stop_is_stop() {
  umount "$data"
  systemctl stop bulkhead
  [ "$(driver_of "$disk0")" = nvme ] || fail "it was not given back"
  ! bulkheadctl list || fail "somebody answers"
  ! systemctl is-active bulkhead.service || fail "a call has started it"
  systemctl start bulkhead
  eventually 20 is_in_state scratch running
}

comes_up_again() {
  eventually 20 is_in_state scratch running
  eventually 20 is_mounted
  files_are_right
  systemctl is-active bulkhead.service bulkhead.socket
  network_is_up
  ! systemctl --failed --no-legend --no-pager | grep . || fail "units have failed"
}

unmounted_first() {
  journalctl --boot=-1 --output=short-monotonic --no-pager |
    grep -E "Unmounted srv-scratch|Stopping bulkhead.service|scratch: given back|Unmounting srv-scratch" | tail -4 | tee "$LAB_WORK/order"
  [ "$(grep -n 'Unmounted srv-scratch' "$LAB_WORK/order" | cut -d: -f1)" -lt "$(grep -n 'Stopping bulkhead' "$LAB_WORK/order" | cut -d: -f1)" ]
}

# seconds START END: with one digit.
seconds() { awk -v a="$1" -v b="$2" 'BEGIN { printf "%.1f", b - a }'; }
# What the others must not notice: their processes stay.
processes() { for name in scratch uplink; do echo "$name $(status "$name" brokerPid) $(status "$name" driverPid)"; done; }
# plug ADDRESS OUTLET DRIVER PROPERTY...: a card is put into an empty slot; OUTLET is the file that shows its outlet. How
# long that takes is printed: it is for a quiet machine to hold it against 5 s.
plug() {
  local address=$1 outlet=$2 plugged there
  shift 2
  dmesg >"$LAB_WORK/dmesg"
  processes >"$LAB_WORK/processes"
  plugged=$EPOCHREALTIME
  qmp device_add "driver=$1" "${@:2}"
  eventually 60 test -e "/sys/bus/pci/devices/$address"
  there=$EPOCHREALTIME
  eventually 60 test -e "$outlet"
  echo "$outlet after $(seconds "$plugged" "$EPOCHREALTIME") s;" \
    "the slot and the kernel took $(seconds "$plugged" "$there") s of them"
}
# unplug ADDRESS OUTLET NAME ID: and out again. Nobody suffers.
unplug() {
  local address=$1 outlet=$2 name=$3 start=$EPOCHREALTIME
  qmp --wait DEVICE_DELETED device_del "id=$4"
  eventually 10 test ! -e "$outlet"
  eventually 10 test ! -e "/sys/bus/pci/devices/$address"
  echo "gone after $(seconds "$start" "$EPOCHREALTIME") s"
  eventually 10 is_in_state "$name" absent
  bulkheadctl list | tee "$LAB_WORK/list"
  grep -E "$address +$name .*absent" "$LAB_WORK/list"
  processes | diff "$LAB_WORK/processes" - || fail "others were disturbed"
  [ ! -e "/sys/fs/cgroup/bulkhead.slice/bulkhead-devices.service/$address" ] || fail "its control group is still there"
  [ ! -e "/run/bulkhead/state/$address.json" ] || fail "its record is still there"
  dmesg | tail -n "+$(($(wc -l <"$LAB_WORK/dmesg") + 1))" >"$LAB_WORK/news"
  cat "$LAB_WORK/news"
  ! grep -iE "error|fail|timed? ?out|refus|stuck|warn|i/o|not responding" "$LAB_WORK/news" || fail "the kernel complains"
}
is_named() { [ "$(readlink -f "/dev/disk/by-id/bulkhead-0000:06:00.0-0")" = "$(readlink -f /dev/bulkhead/hot)" ]; }

plugged_disk() {
  entry hot 0000:06:00.0
  systemctl reload bulkhead
  eventually 10 is_in_state hot absent
  plug 0000:06:00.0 /dev/bulkhead/hot nvme id=nvme-hot serial=HOT drive=disk-spare bus=port-spare0
  eventually 10 is_in_state hot running
  eventually 10 is_named
  dd if=/dev/urandom of="$LAB_WORK/hot" bs=1M count=1 status=none
  dd if="$LAB_WORK/hot" of=/dev/bulkhead/hot bs=1M oflag=direct status=none
  dd if=/dev/bulkhead/hot bs=1M count=1 iflag=direct status=none | cmp - "$LAB_WORK/hot"
  bulkheadctl status hot
}
unplugged_disk() { unplug 0000:06:00.0 /dev/bulkhead/hot hot nvme-hot; }

has_address() { ip -4 -br address show "$1" | grep -qw "$2"; }
plugged_card() {
  entry hotnet 0000:07:00.0 e1000e
  printf '[Match]\nName=bh-hotnet\n[Network]\nAddress=198.51.100.1/24\n' >/etc/systemd/network/20-hotnet.network
  networkctl reload
  systemctl reload bulkhead
  eventually 10 is_in_state hotnet absent
  # Two cards on one segment: each answers and asks for its own address alone. Otherwise a ping that leaves before
  # networkd has given this one its address asks with the other card's, and the peer takes that to be here.
  sysctl -q -w net.ipv4.conf.all.arp_announce=2 net.ipv4.conf.all.arp_ignore=1
  qmp netdev_add type=hubport id=hub-hot hubid=0
  plug 0000:07:00.0 /sys/class/net/bh-hotnet e1000e id=nic-hot netdev=hub-hot mac=52:54:00:00:00:09 \
    bus=port-spare1 romfile=
  eventually 10 is_in_state hotnet running
  [ "$(cat /sys/class/net/bh-hotnet/address)" = 52:54:00:00:00:09 ] || fail "it has not the card's address"
  ip -n peer address add 198.51.100.2/24 dev "$(ip -n peer -br link show up | awk '$1 != "lo" { print $1; exit }')"
  eventually 20 has_address bh-hotnet 198.51.100.1
  eventually 20 ping -c 1 -W 2 -I bh-hotnet 198.51.100.2
}
unplugged_card() {
  unplug 0000:07:00.0 /sys/class/net/bh-hotnet hotnet nic-hot
  ping -c 1 -W 2 -I bh-uplink 192.0.2.2 && return
  # Where it was lost.
  ip -s link show bh-uplink
  ip neigh
  ip -n peer neigh
  ip -n peer -s link
  bulkheadctl status --json uplink
  journalctl -u bulkhead --no-pager -n 20
  ping -c 3 -W 2 -I bh-uplink 192.0.2.2
  fail "the other card has lost a frame"
}

foreign_driver() {
  install -m 755 /packages/udriver-edu-disk /usr/lib/bulkhead/drivers/
  install -m 644 /packages/edu-disk.toml /usr/lib/bulkhead/drivers/
  entry edu "$(edu_address)" edu-disk
  systemctl reload bulkhead
  eventually 20 is_in_state edu running
  eventually 10 test -b /dev/bulkhead/edu
  dd if=/dev/urandom of="$LAB_WORK/edu" bs=512 count=7 status=none
  dd if="$LAB_WORK/edu" of=/dev/bulkhead/edu bs=512 oflag=direct status=none
  dd if=/dev/bulkhead/edu of="$LAB_WORK/edu.read" bs=512 iflag=direct status=none
  cmp "$LAB_WORK/edu" "$LAB_WORK/edu.read"
  rm /usr/lib/bulkhead/drivers/*edu-disk*
}

textfile=/var/lib/prometheus/node-exporter/bulkhead.prom
# As an administrator with node_exporter has it.
collects() {
  mkdir -p "${textfile%/*}"
  systemctl enable --now bulkhead-metrics.timer
  systemctl start bulkhead-metrics.service
  grep -qx 'bulkhead_up 1' "$textfile"
  # To be stopped while it waits for an answer is no failure.
  systemctl kill --signal=STOP --kill-who=main bulkhead
  systemctl start --no-block bulkhead-metrics.service
  eventually 5 metrics_are activating
  systemctl stop bulkhead-metrics.timer bulkhead-metrics.service
  systemctl kill --signal=CONT --kill-who=main bulkhead
  metrics_are inactive
  systemctl start bulkhead-metrics.timer
}
metrics_are() { [ "$(systemctl show --property=ActiveState --value bulkhead-metrics.service)" = "$1" ]; }
collects_no_more() {
  ! systemctl is-active bulkhead-metrics.timer bulkhead-metrics.service || fail "the timer runs on"
  [ ! -e "$textfile" ] || fail "node_exporter still says: $(grep '^bulkhead_up' "$textfile")"
  systemctl list-units --all --no-legend --no-pager --plain 'bulkhead*' | tee "$LAB_WORK/units"
  ! grep -E ' active | failed ' "$LAB_WORK/units" || fail "units are left"
}

removes() {
  collects
  umount "$data"
  apt_get remove bulkhead
  collects_no_more
  [ "$(driver_of "$disk0")" = nvme ] || fail "$disk0 is with $(driver_of "$disk0")"
  grep -q scratch /etc/bulkhead/bulkhead.toml || fail "the configuration is gone, too"
  # It is there again as it was, and so is the timer that was enabled.
  apt_get install /packages/bulkhead_*.deb
  eventually 20 is_in_state scratch running
  systemctl is-enabled bulkhead-metrics.timer
  mount /dev/bulkhead/scratch "$data"
  files_are_right
}

purges() {
  collects
  umount "$data"
  # bulkheadd cannot start any more, and has left everything behind.
  echo 'nonsense' >>/etc/bulkhead/bulkhead.toml
  systemctl kill --signal=KILL --kill-who=main bulkhead
  eventually 20 systemctl is-failed bulkhead
  [ "$(driver_of "$disk0")" = vfio-pci ] || fail "$disk0 is with $(driver_of "$disk0") already"
  apt_get purge bulkhead
  collects_no_more
  [ "$(driver_of "$disk0")" = nvme ] || fail "$disk0 is with $(driver_of "$disk0")"
  [ "$(driver_of "$(edu_address)")" = none ] || fail "edu is with $(driver_of "$(edu_address)")"
  [ "$(driver_of "$(e1000e_address)")" = e1000e ] || fail "the card is with $(driver_of "$(e1000e_address)")"
  [ ! -e /sys/class/net/bh-uplink ] || fail "the interface is still there"
  local file
  for file in "/sys/bus/pci/devices/$(e1000e_address)"/net/*; do
    [ "$(cat "$file/address")" = 52:54:00:00:00:01 ] || fail "the kernel has no interface of the card"
    echo "interface ${file##*/}"
  done
  dd if="$(kernel_block_device "$disk0")" bs=1M count=1 iflag=direct of=/dev/null status=none
  for file in "$disk0" "$(e1000e_address)"; do
    [ "$(cat "/sys/bus/pci/devices/$file/driver_override")" = "(null)" ] || fail "$file has an override"
  done
  [ -z "$(traces)" ] || fail "left behind: $(traces)"
  [ ! -d /sys/fs/cgroup/bulkhead.slice ] || fail "its slice is still there"
}

# As if it had never been there, and everything comes up as it did.
comes_back() {
  apt_get install /packages/bulkhead_*.deb
  systemctl is-active bulkhead.service bulkhead.socket bulkhead-devices.service
  entry scratch "$disk0"
  entry uplink "$(e1000e_address)" e1000e
  udevadm trigger
  eventually 20 is_in_state scratch running
  network_is_up
  mount /dev/bulkhead/scratch "$data"
  files_are_right
}

if [ "$LAB_BOOT" = 1 ]; then
  check "apt installs it, and it takes nothing that is not named" installs
  check "udevadm trigger brings up what the configuration names" triggers
  check "the interface of the card has its address from systemd-networkd, and frames go both ways" connects
  check "its units are confined and without mistakes" confined
  mkdir -p "$data"
  mkfs.ext4 -qF /dev/bulkhead/scratch
  mount /dev/bulkhead/scratch "$data"
  check "the journal has its explanations, and needrestart leaves it alone" tells_others
  check "kill -9 of bulkheadd: drivers serve on" supervisor_goes KILL
  check "an upgrade leaves a mounted disk where it is" upgrades
  check "it is not removed from under a mounted disk" refuses_removal
  check "systemctl stop gives the device back, and lasts" stop_is_stop
  echo "/dev/bulkhead/scratch $data ext4 defaults 0 2" >>/etc/fstab
  systemctl daemon-reload
  mount "$data"
  check "another disk is swap space" swap_space
  lab_reboot
fi
on_exit ip netns del peer
check "after a reboot the disk is there and mounted" comes_up_again
check "it was unmounted before its disk went" unmounted_first
check "swap space is there again, and was given up before its disk went" swap_space_again
check "a disk that is plugged in has its outlet soon" plugged_disk
check "a disk that is unplugged is absent, and that is all" unplugged_disk
check "a network card that is plugged in has its interface soon" plugged_card
check "a network card that is unplugged is absent, and that is all" unplugged_card
check "a driver that was built against the installed driver kit" foreign_driver
check "apt purge gives the devices back, and leaves nothing" purges
full_check "it can be installed again after purge" comes_back
full_check "removed it has stopped all it had, and kept its configuration" removes
full_check "and purged again" purges
