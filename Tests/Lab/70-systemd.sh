# shellcheck shell=bash
# lab: full
# lab: deadline=800
# Under systemd and udev: the unit, its control groups, the names of udev.

disk0=$(nvme_address 0)
tidy() {
  systemctl stop bulkhead systemd-networkd.socket systemd-networkd
  rm -f /etc/systemd/network/10-bh0.network
  ip netns del apart
  ip link del br0
}
on_exit tidy

as_a_unit() {
  configure "$(device_entry disk0 "$disk0")"
  systemctl start bulkhead
  systemctl is-active bulkhead
  eventually 30 is_in_state disk0 running
  systemctl status bulkhead --no-pager | cat
  [ -f "/sys/fs/cgroup/bulkhead.slice/bulkhead-devices.service/$disk0/driver/memory.max" ] || fail "not in the unit's group"
  [ "$(cat "/sys/fs/cgroup/bulkhead.slice/bulkhead-devices.service/$disk0/driver/memory.max")" = 67108864 ] || fail "no memory limit"
  grep -qx "$(status disk0 driverPid)" "/sys/fs/cgroup/bulkhead.slice/bulkhead-devices.service/$disk0/driver/cgroup.procs"
}
check "the unit starts, and its drivers are in groups below its own" as_a_unit

names_of_udev() {
  eventually 10 test -L "/dev/disk/by-id/bulkhead-$disk0-0"
  [ "$(readlink -f "/dev/disk/by-id/bulkhead-$disk0-0")" = "$(disk_of disk0)" ]
}
check "udev gives the disk a stable name" names_of_udev

# --- Who may do what ---

useradd --groups bulkhead reader
useradd stranger
as() { setpriv --reuid="$1" --regid="$1" --init-groups "${@:2}"; }
# says STATUS TEXT COMMAND...: it ends so, and its error names TEXT.
says() {
  local status=0 wanted=$1 text=$2
  shift 2
  "$@" >"$LAB_WORK/said" 2>"$LAB_WORK/error" </dev/null || status=$?
  [ "$status" = "$wanted" ] || fail "status $status, not $wanted: $* ($(cat "$LAB_WORK/error"))"
  grep -qF "$text" "$LAB_WORK/error" || fail "$* said: $(cat "$LAB_WORK/error")"
}

# The socket is systemd's from the start: what it permits is its unit's word.
members_look() {
  ss -xlp 2>/dev/null | grep -F io.bulkhead || true
  stat -c '%A %U %G %n' /run/bulkhead/io.bulkhead
  [ "$(stat -c '%a %U %G' /run/bulkhead/io.bulkhead)" = "660 root bulkhead" ]
  as reader bulkheadctl list | grep disk0
  as reader bulkheadctl list --all --json >/dev/null
  as reader bulkheadctl status disk0
  as reader bulkheadctl check disk0
  as reader bulkheadctl drivers
  as reader bulkheadctl metrics | grep -q '^bulkhead_up 1'
  start_monitor as reader timeout 120 bulkheadctl monitor
  bulkheadctl restart disk0
  eventually 10 grep -q running "$LAB_WORK/monitor"
  kill %1 2>/dev/null || true
}
members_change_nothing() {
  local before verb
  before=$(status disk0 driverPid)
  for verb in "start disk0" "stop disk0" "restart disk0" "stop --force disk0" "detach disk0" "reset-failed disk0" \
    "attach $(nvme_address 1)"; do
    # shellcheck disable=SC2086
    says 4 "only root and the user of bulkheadd may" as reader bulkheadctl $verb
    grep -q 'Hint: run the command as root' "$LAB_WORK/error"
  done
  [ "$(status disk0 driverPid)" = "$before" ]
  # Who may look at disks may not write to them: that is for the group disk, as with /dev/nbdN.
  [ "$(stat -c '%a %U %G' /run/bulkhead/nbd/disk0.sock)" = "660 root disk" ]
  ! as reader nbdinfo --size 'nbd+unix:///?socket=/run/bulkhead/nbd/disk0.sock' || fail "a reader reads the disk"
}
strangers_do_nothing() {
  local verb
  for verb in list "list --all" status "status disk0" check "check disk0" "check $disk0" monitor "start disk0" \
    "stop disk0" "restart disk0" "detach disk0" drivers metrics "config show"; do
    # shellcheck disable=SC2086
    says 4 "/run/bulkhead/io.bulkhead may not be opened" as stranger bulkheadctl $verb
    grep -q 'join the group bulkhead' "$LAB_WORK/error"
    [ ! -s "$LAB_WORK/said" ] || fail "$verb: said something all the same"
  done
}
check "members of the group bulkhead look" members_look
check "members of the group bulkhead change nothing, and write to no disk" members_change_nothing
check "others get a clear error" strangers_do_nothing

# --- What systemd keeps ---

nic=$(e1000e_address)
stored() { systemctl show -p NFileDescriptorStore --value bulkhead; }
is_stored() { [ "$(stored)" = "$1" ]; }
apart() { ip -n apart "$@"; }
# identity: what a moved interface has that must not change.
identity() { apart -o link show dev bh0 | sed -E 's/^([0-9]+: [^:]*):.*(link\/ether [0-9a-f:]*).*/\1 \2/'; }
moved_answers() { ip netns exec apart ping -c 1 -W 1 "$FAR4"; }
# supervisor_dies: bulkheadd, and nothing else.
supervisor_dies() {
  local before
  before=$(systemctl show -p MainPID --value bulkhead)
  systemctl kill -s KILL bulkhead
  another() { [ "$(systemctl show -p MainPID --value bulkhead)" != "$before" ] && bulkheadctl list >/dev/null; }
  eventually 30 another
  eventually 30 is_in_state disk0 running
  eventually 30 is_in_state nic0 running
}

keeps() {
  configure "$(device_entry disk0 "$disk0")" "$(nic_entry auto '' 'limits = { queues = 2 }')"
  systemctl reload bulkhead
  eventually 30 is_in_state nic0 running
  # A socket and the queues of an interface.
  queues=$(status nic0 outlet.interface.queuePairs)
  eventually 20 is_stored $((1 + queues))
  systemctl show -p NFileDescriptorStore -p FileDescriptorStoreMax bulkhead
}
moved_interface_survives() {
  ip netns add apart
  ip link set bh0 netns apart
  apart address add "$NEAR4/24" dev bh0
  apart link set bh0 up
  eventually 20 moved_answers
  local before kept
  before=$(identity)
  kept=$(stored)
  for _ in 1 2; do
    supervisor_dies
    [ ! -e /sys/class/net/bh0 ] || fail "there is another one at home"
    [ "$(identity)" = "$before" ] || fail "it was: $before; it is: $(identity)"
    eventually 20 moved_answers
    [ "$(status nic0 outlet.interface.namespace)" = apart ] || fail "status: $(status nic0 outlet.interface.namespace)"
    is_stored "$kept" || fail "$(stored) files, not $kept"
  done
  echo "$before; $kept files"
  journalctl -u bulkhead --no-pager -o cat | grep -F "found again by the files that systemd has kept: bh0" | tail -1
}
# Brokers are replaced, so a connection may end; but nobody is told that nobody is there.
clients_wait() {
  cat >"$LAB_WORK/knock" <<'END'
import socket, sys, time
knocks = refused = 0
while time.monotonic() < float(sys.argv[2]):
    with socket.socket(socket.AF_UNIX) as client:
        try:
            client.connect(sys.argv[1])
            knocks += 1
        except (ConnectionRefusedError, FileNotFoundError):
            refused += 1
    time.sleep(0.005)
print(f"{knocks} came in, {refused} were refused")
sys.exit(refused > 0 or knocks < 50)
END
  local until knocking
  until=$(($(cut -d. -f1 /proc/uptime) + 15))
  python3 "$LAB_WORK/knock" /run/bulkhead/nbd/disk0.sock "$until" &
  knocking=$!
  sleep 1
  supervisor_dies
  wait "$knocking"
  nbdinfo --size 'nbd+unix:///?socket=/run/bulkhead/nbd/disk0.sock'
}
unknown_files_are_closed() {
  local kept
  kept=$(stored)
  # As a bulkheadd of another version may leave them.
  mkdir -p /run/systemd/system/bulkhead.service.d
  printf '[Service]\nNotifyAccess=all\nExecStartPost=/usr/bin/python3 %s\n' "$LAB_WORK/leave" \
    >/run/systemd/system/bulkhead.service.d/leave.conf
  cat >"$LAB_WORK/leave" <<'END'
import array, os, socket
for name in ("nonsense", "tap/0000-09-00.0/0"):
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notify, open("/dev/null") as file:
        notify.sendmsg([f"FDSTORE=1\nFDNAME={name}\nFDPOLL=0".encode()],
                       [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [file.fileno()]))],
                       0, os.environ["NOTIFY_SOCKET"])
END
  chmod 755 "$LAB_WORK"
  systemctl daemon-reload
  supervisor_dies
  eventually 10 is_stored $((kept + 2))
  rm -r /run/systemd/system/bulkhead.service.d
  systemctl daemon-reload
  supervisor_dies
  eventually 10 is_stored "$kept"
  journalctl -u bulkhead --no-pager -o cat | grep -F 'a file that systemd has kept is closed' | tail -2 | tee "$LAB_WORK/closed"
  [ "$(wc -l <"$LAB_WORK/closed")" = 2 ]
}
stop_forgets() {
  systemctl stop bulkhead
  is_stored 0 || fail "$(stored) files are kept of a service that was stopped"
  ! apart link show bh0 2>/dev/null || fail "the interface is still there"
  [ "$(driver_of "$nic")" = e1000e ] || fail "the NIC is with $(driver_of "$nic")"
  systemctl start bulkhead
  eventually 30 is_in_state nic0 running
  [ "$(cat /sys/class/net/bh0/address)" = "$NIC_MAC" ] || fail "it is not at home again"
  near_up
  eventually 20 answers
  eventually 20 is_stored $((1 + queues))
  # And what the configuration names no more.
  configure "$(device_entry disk0 "$disk0")"
  systemctl reload bulkhead
  eventually 20 is_stored 1
}
peer_begin
queues=1
check "systemd keeps the files of the outlets" keeps
queues=$(status nic0 outlet.interface.queuePairs)
check "an interface that was moved by hand survives kill -9 of bulkheadd, twice" moved_interface_survives
check "clients of the NBD socket wait while there is no bulkheadd" clients_wait
check "files that nobody knows are closed" unknown_files_are_closed
check "stop and start: nothing is kept, and everything is at home again" stop_forgets

# --- What docs/administrators.md says that an administrator does ---

tunes() {
  systemctl set-property --runtime bulkhead.slice AllowedCPUs=0
  systemctl set-property --runtime bulkhead-devices.service MemoryMax=1G CPUWeight=500
  on_cpu_0() { grep -qx 'Cpus_allowed_list:.0' "/proc/$(status disk0 driverPid)/status"; }
  eventually 10 on_cpu_0
  [ "$(cat /sys/fs/cgroup/bulkhead.slice/bulkhead-devices.service/memory.max)" = $((1 << 30)) ]
  [ "$(cat /sys/fs/cgroup/bulkhead.slice/bulkhead-devices.service/cpu.weight)" = 500 ]
  # The devices' own groups are still there, and work.
  bulkheadctl restart disk0
  [ "$(cat "/sys/fs/cgroup/bulkhead.slice/bulkhead-devices.service/$disk0/driver/memory.max")" = 67108864 ]
  systemctl set-property --runtime bulkhead.slice AllowedCPUs=
}
keeps_master() {
  ip link add br0 type bridge
  ip link set br0 up
  printf '[Match]\nName=bh0\n[Network]\nKeepMaster=yes\nLinkLocalAddressing=no\n' >/etc/systemd/network/10-bh0.network
  systemctl start systemd-networkd
  configure "$(device_entry disk0 "$disk0")" "$(nic_entry auto 'master = "br0"')"
  systemctl reload bulkhead
  eventually 30 is_in_state nic0 running
  configured() { networkctl list --no-legend --no-pager bh0 | grep configured; }
  eventually 20 configured
  [ "$(basename "$(readlink /sys/class/net/bh0/master)")" = br0 ] || fail "networkd took it out of its bridge"
  rm /etc/systemd/network/10-bh0.network
  systemctl stop systemd-networkd
}
# bulkheadd is gone for good; its brokers and drivers are not.
breaks() {
  mkdir -p /run/systemd/system/bulkhead.service.d
  printf '[Service]\nRestart=no\n' >/run/systemd/system/bulkhead.service.d/gone.conf
  systemctl daemon-reload
  systemctl kill -s KILL bulkhead
  eventually 10 systemctl is-failed bulkhead
  [ "$(driver_of "$disk0")" = vfio-pci ]
}
# works_again: as if nothing had been.
works_again() {
  rm -r /run/systemd/system/bulkhead.service.d
  systemctl daemon-reload
  configure "$(device_entry disk0 "$disk0")"
  systemctl start bulkhead.socket bulkhead
  eventually 30 is_in_state disk0 running
}
by_command() {
  breaks
  systemctl stop bulkhead.service bulkhead.socket
  bulkheadd --give-back
  [ -z "$(pids_of bulkhead-broker)" ] || fail "brokers run"
  [ "$(driver_of "$disk0")" = nvme ] || fail "it is with $(driver_of "$disk0")"
  [ ! -e /dev/bulkhead/disk0 ] || fail "the link is left"
  works_again
}
by_hand() {
  breaks
  systemctl stop bulkhead.service bulkhead.socket bulkhead-devices.service
  [ -z "$(pids_of bulkhead-broker)" ] || fail "brokers run"
  nbd-client -d "$(readlink -f /dev/bulkhead/disk0)"
  rm -f /dev/bulkhead/disk0
  ip link delete bh0
  for device in "$disk0" "$nic"; do
    echo "$device" >"/sys/bus/pci/devices/$device/driver/unbind"
    echo >"/sys/bus/pci/devices/$device/driver_override"
    echo "$device" >/sys/bus/pci/drivers_probe
    rm "/run/bulkhead/state/$device.json"
  done
  [ "$(driver_of "$disk0") $(driver_of "$nic")" = "nvme e1000e" ]
  eventually 10 test -b "$(kernel_block_device "$disk0")"
  works_again
}
check "limits and processors by systemctl set-property" tunes
check "an interface stays in the bridge that the configuration says, beside networkd" keeps_master
check "devices are given back by hand where bulkheadd is broken" by_hand
check "or by one command" by_command

ends() {
  systemctl reload bulkhead
  systemctl stop bulkhead
  [ "$(driver_of "$disk0")" = nvme ] || fail "with $(driver_of "$disk0")"
  ! systemctl is-failed bulkhead
  journalctl -u bulkhead --no-pager -o short-monotonic | tail -30
}
check "reload and stop" ends

reload_says_so() {
  configure "$(device_entry disk0 "$disk0")"
  systemctl start bulkhead
  eventually 30 is_in_state disk0 running
  configure "$(device_entry disk0 "$disk0" nvmme)"
  ! systemctl reload bulkhead || fail "it says that all is well"
  systemctl is-active bulkhead
  is_in_state disk0 running
  journalctl -u bulkhead --no-pager -o cat | tail -20 | grep -F 'there is no driver "nvmme"'
  configure "$(device_entry disk0 "$disk0")"
  systemctl reload bulkhead
  systemctl stop bulkhead
}
check "a reload with mistakes fails, and changes nothing" reload_says_so

# What the unit may write is its word, too.
for_good() {
  local disk1
  disk1=$(nvme_address 1)
  configure "$(device_entry disk0 "$disk0")"
  systemctl start bulkhead
  eventually 30 is_in_state disk0 running
  bulkheadctl attach "$disk1" --permanent --name spare
  cat "/etc/bulkhead/bulkhead.d/50-attach-$disk1.toml"
  [ ! -e "/run/bulkhead/bulkhead.d/50-attach-$disk1.toml" ] || fail "it is recorded for this boot only"
  is_in_state spare running
  systemctl restart bulkhead
  eventually 30 is_in_state spare running
  bulkheadctl detach spare --permanent
  [ -z "$(ls /etc/bulkhead/bulkhead.d)" ] || fail "left: $(ls /etc/bulkhead/bulkhead.d)"
  [ "$(driver_of "$disk1")" = nvme ] || fail "with $(driver_of "$disk1")"
  systemctl stop bulkhead
}
check "a device is attached and detached for good" for_good

refuses() {
  configure 'x = 1'
  ! systemctl start bulkhead || fail "it started"
  [ "$(systemctl show -p ExecMainStatus --value bulkhead)" = 78 ]
  [ "$(systemctl show -p NRestarts --value bulkhead)" = 0 ]
}
check "wrong configuration is not tried again" refuses

# failed_starts: how often bulkheadd has said so since then.
failed_starts() {
  journalctl --sync
  journalctl --unit=bulkhead --since="$since" --no-pager --output=cat | grep -cF '1 error in the configuration' || true
}
# answered COMMAND...: whatever it says, it says so soon.
answered() {
  local status=0
  timeout 10 "$@" >"$LAB_WORK/said" 2>&1 || status=$?
  [ "$status" != 124 ] || fail "$*: the client waits"
}
# The socket of a service that does not start: a call starts it once, and is over.
calls_do_not_loop() {
  local call since calls=()
  configure 'x = 1'
  since=@$(date +%s.%6N)
  ! systemctl start bulkhead || fail "it started"
  for call in 1 2 3 4 5 6; do
    answered bulkheadctl list
    answered bulkheadctl config check
  done
  # And several at once, whatever bulkheadctl makes of a connection that is closed.
  cat >"$LAB_WORK/call" <<'END'
import socket
with socket.socket(socket.AF_UNIX) as client:
    client.settimeout(10)
    client.connect("/run/bulkhead/io.bulkhead")
    assert client.recv(1) == b"", "that is an answer"
END
  for call in 1 2 3 4 5 6; do
    python3 "$LAB_WORK/call" &
    calls+=($!)
  done
  for call in "${calls[@]}"; do wait "$call"; done
  # What loops, goes on now.
  sleep 3
  echo "$(failed_starts) starts"
  [ "$(failed_starts)" -ge 2 ] || fail "no call has started it: this test shows nothing"
  [ "$(failed_starts)" -le 19 ] || fail "$(failed_starts) starts for 18 calls"
  systemctl is-active bulkhead.socket
  configure "$(device_entry disk0 "$disk0")"
  systemctl "$1" bulkhead
  eventually 30 is_in_state disk0 running
  systemctl is-active bulkhead.socket
  systemctl stop bulkhead
}
# No file at all: the socket is there only as long as nobody has called.
file_is_missing() {
  configure "$(device_entry disk0 "$disk0")"
  systemctl start bulkhead.socket
  mv /etc/bulkhead/bulkhead.toml "$LAB_WORK/"
  answered bulkheadctl list
  systemctl stop bulkhead.socket
  systemctl start bulkhead.socket
  ! systemctl is-active bulkhead.socket || fail "it waits for calls that nobody answers"
  answered bulkheadctl list
  mv "$LAB_WORK/bulkhead.toml" /etc/bulkhead/
  systemctl start bulkhead
  eventually 30 is_in_state disk0 running
  systemctl is-active bulkhead.socket
  systemctl stop bulkhead
}
check "with wrong configuration calls do not loop, and restart is enough when it is mended" calls_do_not_loop restart
check "nor is more needed than start" calls_do_not_loop start
check "without configuration calls do not loop" file_is_missing
