# shellcheck shell=bash
# lab: deadline=700
# bulkheadctl attach and detach: until the next boot and for good, what is refused, and what they write.
# Output is compared with Tests/Lab/snapshots; UPDATE_SNAPSHOTS=1 lab/run Tests/Lab/68-attach.sh writes it anew.

disk0=$(nvme_address 0)
disk1=$(nvme_address 1)
nic=$(e1000e_address)
on_exit stop_bulkheadd

configure "$(printf '# Mine, and nobody else writes here.\n'; device_entry disk0 "$disk0")"
start_bulkheadd
eventually 30 is_in_state disk0 running

attached() {
  bulkheadctl attach "$disk1" --name scratch | snapshot 68-attach.txt
  dd if="$(disk_of scratch)" of=/dev/null bs=1M count=4 iflag=direct status=none
  has_drop_ins "/run/bulkhead/bulkhead.d/50-attach-$disk1.toml"
  bulkheadctl config show scratch | head -4 | snapshot 68-config-show-attached.txt
  ctl_error 1 already-attached attach "$disk1"
  ctl_error 1 attached-otherwise attach "$disk1" --driver none
  kill -HUP "$(bulkheadd_pid)"
  sleep 1
  is_in_state scratch running
  restart_bulkheadd
  eventually 30 is_in_state scratch running
  stop_bulkheadd KILL
  start_bulkheadd
  eventually 30 is_in_state scratch running
  bulkheadctl --json detach scratch | snapshot 68-detach.json
  has "$disk1" nvme
  has_drop_ins ""
  ctl_error 3 detached-already detach "$disk1"
}
check "attach lasts over reload, restart and crash of bulkheadd, and detach ends it" attached

# Two of them at once: one is done, the other one is told, and what is written is what is so.
at_once() {
  bulkheadctl attach "$disk1" >"$LAB_WORK/first" 2>&1 &
  begun() { bulkheadctl list --no-legend | grep -q "^$disk1"; }
  eventually 10 begun
  bulkheadctl detach "$disk1" >/dev/null
  wait
  cat "$LAB_WORK/first"
  has "$disk1" nvme
  has_drop_ins ""
  for name in one two three; do bulkheadctl attach "$disk1" --name "$name" >/dev/null 2>&1 & done
  wait
  eventually 30 is_in_state "$disk1" running
  grep -qF "name = \"$(status "$disk1" name)\"" "/run/bulkhead/bulkhead.d/50-attach-$disk1.toml"
  bulkheadctl detach "$disk1" >/dev/null
  has_drop_ins ""
}
check "attach and detach at once" at_once

attached_for_good() {
  bulkheadctl attach "$disk1" --permanent --driver nvme >/dev/null
  has_drop_ins "/etc/bulkhead/bulkhead.d/50-attach-$disk1.toml"
  snapshot 68-drop-in-attach.toml <"/etc/bulkhead/bulkhead.d/50-attach-$disk1.toml"
  [ "$(stat -c '%a %U' "/etc/bulkhead/bulkhead.d/50-attach-$disk1.toml")" = "644 root" ]
  restart_bulkheadd
  eventually 30 is_in_state "$disk1" running
  ctl_error 1 attached-for-good attach "$disk1" --permanent
  # Until the next boot only; then back.
  bulkheadctl detach "$disk1" >/dev/null
  has "$disk1" nvme
  restart_bulkheadd
  has "$disk1" nvme
  bulkheadctl attach "$disk1" >/dev/null
  is_in_state "$disk1" running
  bulkheadctl detach "$disk1" --permanent >/dev/null
  has "$disk1" nvme
  has_drop_ins ""
  # First until the next boot, and then for good, without a restart of the driver.
  bulkheadctl attach "$disk1" --name scratch >/dev/null
  local pid
  pid=$(status scratch driverPid)
  bulkheadctl attach scratch --permanent >/dev/null
  [ "$(status scratch driverPid)" = "$pid" ]
  has_drop_ins "/etc/bulkhead/bulkhead.d/50-attach-$disk1.toml"
  # What the administrator has edited stays as it is.
  echo '# by me' >>"/etc/bulkhead/bulkhead.d/50-attach-$disk1.toml"
  bulkheadctl detach scratch --permanent >/dev/null
  grep -qx '# by me' "/etc/bulkhead/bulkhead.d/50-attach-$disk1.toml"
  has "$disk1" nvme
  rm "/etc/bulkhead/bulkhead.d/50-detach-$disk1.toml"
  printf '# for later\n' >"/etc/bulkhead/bulkhead.d/50-attach-$disk1.toml"
  kill -HUP "$(bulkheadd_pid)"
  sleep 1
  ctl_error 1 in-the-way attach "$disk1" --permanent
  grep -qx '# for later' "/etc/bulkhead/bulkhead.d/50-attach-$disk1.toml"
  rm /etc/bulkhead/bulkhead.d/*
  kill -HUP "$(bulkheadd_pid)"
}

check "attach --permanent and detach --permanent are for the next boot too" attached_for_good

overruled() {
  local sum
  sum=$(sha256sum /etc/bulkhead/bulkhead.toml)
  bulkheadctl detach disk0 | snapshot 68-detach.txt
  has "$disk0" nvme
  kill -HUP "$(bulkheadd_pid)"
  restart_bulkheadd
  has "$disk0" nvme
  [ -z "$(bulkheadctl list --no-legend)" ] || fail "$(bulkheadctl list)"
  bulkheadctl attach disk0 >/dev/null
  is_in_state disk0 running
  has_drop_ins ""
  bulkheadctl detach disk0 --permanent >/dev/null
  snapshot 68-drop-in-detach.toml <"/etc/bulkhead/bulkhead.d/50-detach-$disk0.toml"
  restart_bulkheadd
  has "$disk0" nvme
  bulkheadctl list --all --no-legend | grep "^$disk0 .*kernel *unconfigured"
  bulkheadctl config show | snapshot 68-config-show-detached.txt
  ctl_error 1 detached-for-good attach disk0
  ctl_error 3 start-detached start "$disk0"
  bulkheadctl attach disk0 --permanent >/dev/null
  is_in_state disk0 running
  has_drop_ins ""
  [ "$(sha256sum /etc/bulkhead/bulkhead.toml)" = "$sum" ] || fail "the administrator's own file was changed"
}
check "detach of a configured device overrules its entry, and touches no other file" overruled

refused() {
  local disk interface
  disk=$(kernel_block_device "$disk1")
  mkfs.ext4 -qF "$disk"
  mkdir -p "$LAB_WORK/mnt"
  mount "$disk" "$LAB_WORK/mnt"
  ctl_error 6 mounted attach "$disk1" --permanent
  umount "$LAB_WORK/mnt"
  interface=$(ls "/sys/bus/pci/devices/$nic/net/")
  ip link set "$interface" up
  ip address add 192.0.2.1/24 dev "$interface"
  gives 6 bulkheadctl attach "$nic"
  says "$interface" Hint
  ip address flush dev "$interface"
  ip link set "$interface" down
  ctl_error 6 bridge attach "$(basename "$(dirname "$(readlink -f "/sys/bus/pci/devices/$disk1")")")"
  gives 1 bulkheadctl attach "$(edu_address)"
  says "no installed driver claims"
  ctl_error 1 no-such-driver attach "$disk1" --driver nmve
  ctl_error 1 driver-kernel attach "$disk1" --driver kernel
  ctl_error 1 invalid-name attach "$disk1" --name 'My disk'
  ctl_error 1 name-taken attach "$disk1" --name disk0
  mount "$(disk_of disk0)" "$LAB_WORK/mnt" 2>/dev/null || { mkfs.ext4 -qF "$(disk_of disk0)"; mount "$(disk_of disk0)" "$LAB_WORK/mnt"; }
  gives 6 bulkheadctl detach disk0
  says "$LAB_WORK/mnt" "--force"
  gives 6 bulkheadctl detach disk0 --permanent
  umount "$LAB_WORK/mnt"
  is_in_state disk0 running
  has "$disk1" nvme
  has "$nic" e1000e
  has_drop_ins ""
  [ "$(bulkheadctl list --no-legend | wc -l)" = 1 ] || fail "$(bulkheadctl list)"
}
check "what is refused is said, and nothing is taken or written" refused

unwritable() {
  mount --bind /etc/bulkhead/bulkhead.d /etc/bulkhead/bulkhead.d
  mount -o remount,bind,ro /etc/bulkhead/bulkhead.d
  gives 1 bulkheadctl attach "$disk1" --permanent
  says EROFS Hint
  gives 1 bulkheadctl detach disk0 --permanent
  umount /etc/bulkhead/bulkhead.d
  has "$disk1" nvme
  is_in_state disk0 running
}
check "what cannot be written is said before a device is touched" unwritable

held() {
  bulkheadctl attach 00:1f.3 --driver none | snapshot 68-attach-held.txt
  bulkheadctl detach 00:1f.3 >/dev/null
  bulkheadctl --json attach 00:1f.3 --driver none | snapshot 68-attach-held.json
  ctl_error 1 held attach 00:1f.3
  # It stays held, whatever is said to it.
  bulkheadctl stop 00:1f.3 >/dev/null
  [ "$(status 00:1f.3 desired)" = held ] || fail "$(status 00:1f.3 desired)"
  bulkheadctl detach 00:1f.3 >/dev/null
  has_drop_ins ""
}
check "a device can be held without a driver" held

monitored() {
  start_monitor timeout 120 bulkheadctl monitor
  bulkheadctl --json attach "$disk1" | snapshot 68-attach.json
  bulkheadctl detach "$disk1" >/dev/null
  sleep $((LAB_PATIENCE / 2))
  kill %1
  grep -E "configuration|state: .*(running|idle)" "$LAB_WORK/monitor" | snapshot 68-monitor.txt
}
check "monitor tells of attach and detach" monitored

monitored_json() {
  start_monitor timeout 120 bulkheadctl monitor --json
  bulkheadctl restart disk0 >/dev/null
  sleep $((LAB_PATIENCE / 2))
  kill %1
  grep -F '"kind":"state"' "$LAB_WORK/monitor" | snapshot 68-monitor.json
}
check "monitor --json: one object a line" monitored_json
