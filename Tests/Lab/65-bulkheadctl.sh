# shellcheck shell=bash
# lab: deadline=600
# Each verb of bulkheadctl on the real daemon: what it does, what it prints, and what it says when something is wrong;
# attach and detach are in 68-attach.sh.
# Output is compared with Tests/Lab/snapshots; UPDATE_SNAPSHOTS=1 lab/run Tests/Lab/65-bulkheadctl.sh writes it anew.

disk0=$(nvme_address 0)
disk1=$(nvme_address 1)
nic=$(e1000e_address)
on_exit stop_bulkheadd

group=4320
if ! grep -q '^bulkhead:' /etc/group; then
  echo "bulkhead:x:$group:" >>/etc/group
  on_exit sed -i '/^bulkhead:/d' /etc/group
fi
group=$(awk -F: '$1 == "bulkhead" { print $3 }' /etc/group)
# As a user that is nobody in particular, or a member of the group.
stranger=(setpriv --reuid 4321 --regid 4321 --clear-groups)
member=(setpriv --reuid 4321 --regid 4321 --groups "$group")

entry=$(printf '# Mine, and nobody else writes here.\n'; device_entry disk0 "$disk0" nvme 'restart = { burst = 2, delay = "10ms" }')
configure "$entry"

without_daemon() {
  local verb
  for verb in list status "start disk0" "stop disk0" "restart disk0" reset-failed "attach $disk1" "detach disk0" monitor; do
    # shellcheck disable=SC2086 # verb and arguments
    gives 5 bulkheadctl $verb
    says "does not answer" Hint
  done
  ctl_error 5 no-daemon attach "$disk1"
  gives 0 bulkheadctl check "$disk0"
  says "what the kernel says"
  [ "$(wc -l <"$LAB_WORK/err")" = 1 ] || fail "more than one line"
  gives 0 bulkheadctl config check
  snapshot 65-config-check-files.txt <"$LAB_WORK/out"
  gives 0 bulkheadctl config show disk0
  says "what the files say"
  grep -qx "\[\[device\]\]  # $disk0, by the entry at /etc/bulkhead/bulkhead.toml:2" "$LAB_WORK/out"
  gives 3 bulkheadctl config show nothing
  gives 0 bulkheadctl drivers
  grep -q "^nvme .* $disk0 " "$LAB_WORK/out"
}
check "no daemon: status 5 and a hint; what needs none works" without_daemon

# As systemd's socket has it when the configuration is wrong: whoever calls is connected, and then not any more.
without_answer() {
  local verb
  mkdir -p /run/bulkhead
  python3 -c '
import socket
listener = socket.socket(socket.AF_UNIX)
listener.bind("/run/bulkhead/io.bulkhead")
listener.listen()
while True:
    listener.accept()[0].close()' &
  eventually 10 test -S /run/bulkhead/io.bulkhead
  for verb in "check $disk0" "config check" "config show disk0" drivers; do
    # shellcheck disable=SC2086 # verb and arguments
    gives 0 bulkheadctl $verb
    # shellcheck disable=SC2086
    gives 5 bulkheadctl $verb --socket /run/bulkhead/io.bulkhead
    # shellcheck disable=SC2086
    gives 4 "${stranger[@]}" bulkheadctl $verb
  done
  for verb in list "start disk0" metrics monitor; do
    # shellcheck disable=SC2086 # verb and arguments
    gives 5 bulkheadctl $verb
    says "closed the connection" Hint
  done
  kill %1
  rm /run/bulkhead/io.bulkhead
}
check "a daemon that ends before it answers is as none" without_answer

wrong_arguments() {
  local verb
  for verb in nosuch "list x" "status a b" start "start a b" stop "stop --nosuch disk0" restart attach "attach a b" \
    "attach --driver" detach "detach --name x disk0" "reset-failed a b" "check a b" "monitor x" "drivers x" \
    config "config nosuch" "--json config" "config check a b" "config show a b" "config check x --config y"; do
    # shellcheck disable=SC2086 # verb and arguments
    gives 64 bulkheadctl $verb
    grep -q . "$LAB_WORK/err" || fail "says nothing: $verb"
  done
}
check "wrong arguments: status 64" wrong_arguments

start_bulkheadd
eventually 30 is_in_state disk0 running

lists() {
  bulkheadctl list | snapshot 65-list.txt
  bulkheadctl list --json | snapshot 65-list.json
  bulkheadctl list --all | snapshot 65-list-all.txt
  bulkheadctl list --no-legend | snapshot 65-list-no-legend.txt
  bulkheadctl status disk0 | snapshot 65-status.txt
  bulkheadctl status "$nic" | snapshot 65-status-kernel.txt
  bulkheadctl status disk0 --json | snapshot 65-status.json
  bulkheadctl check "$nic" | snapshot 65-check.txt
  bulkheadctl check --json "$nic" | snapshot 65-check.json
  bulkheadctl check --no-legend | snapshot 65-check-table.txt
  bulkheadctl drivers | snapshot 65-drivers.txt
  bulkheadctl --json drivers | snapshot 65-drivers.json
  bulkheadctl --no-legend drivers | snapshot 65-drivers-no-legend.txt
  bulkheadctl config show disk0 | snapshot 65-config-show.txt
  bulkheadctl --json config show disk0 | snapshot 65-config-show.json
  bulkheadctl config check | snapshot 65-config-check.txt
  bulkheadctl --json config check | snapshot 65-config-check.json
}
check "what list, status, check, drivers and config print" lists

the_same_again() {
  bulkheadctl config show >"$LAB_WORK/shown.toml"
  gives 0 bulkheadctl config check "$LAB_WORK/shown.toml"
  bulkheadctl config show --config "$LAB_WORK/shown.toml" | sed 's/  *# .*//' >"$LAB_WORK/again"
  sed 's/  *# .*//' "$LAB_WORK/shown.toml" | diff -u - "$LAB_WORK/again"
}
check "config show prints a configuration that says the same" the_same_again

colours() {
  local terminal='import os, pty, sys; sys.exit(os.waitstatus_to_exitcode(pty.spawn(sys.argv[1:])))'
  python3 -c "$terminal" bulkheadctl list | grep -q $'\e\[32mrunning' || fail "no colour on a terminal"
  NO_COLOR="" python3 -c "$terminal" bulkheadctl list | grep -q $'\e\[32mrunning' || fail "no colour with an empty NO_COLOR"
  ! TERM=dumb python3 -c "$terminal" bulkheadctl list | grep -q $'\e' || fail "colour on a dumb terminal"
  ! NO_COLOR=1 python3 -c "$terminal" bulkheadctl list | grep -q $'\e' || fail "colour in spite of NO_COLOR"
  ! python3 -c "$terminal" bulkheadctl --json list | grep -q $'\e' || fail "colour in JSON"
  ! bulkheadctl list | grep -q $'\e' || fail "colour in a pipe"
}
check "colour on a terminal only, unless it is dumb or NO_COLOR is set" colours

unknown() {
  local verb
  for verb in status start stop restart check attach detach reset-failed "config show"; do
    # shellcheck disable=SC2086 # verb and arguments
    gives 3 bulkheadctl $verb 0000:7f:00.0
    # shellcheck disable=SC2086 # verb and arguments
    gives 3 bulkheadctl $verb dsk0
    says 'did you mean "disk0"?'
  done
  ctl_error 3 unknown attach dsk0
  ctl_error 3 not-configured start "$disk1"
  ctl_error 3 not-attached detach "$disk1"
}
check "unknown devices: status 3, and what was meant" unknown

permissions() {
  local verb
  for verb in list status "start disk0" reset-failed "attach $disk1" "detach disk0"; do
    # shellcheck disable=SC2086 # verb and arguments
    gives 4 "${stranger[@]}" bulkheadctl $verb
    says "may not be opened" Hint
  done
  for verb in list "status disk0" "config show" "config check" drivers "check $disk0"; do
    # shellcheck disable=SC2086 # verb and arguments
    gives 0 "${member[@]}" bulkheadctl $verb
  done
  for verb in "start disk0" "stop disk0" "stop --force disk0" "restart disk0" reset-failed "reset-failed disk0" \
    "attach $disk1" "attach --permanent $disk1" "detach disk0" "detach --permanent disk0"; do
    # shellcheck disable=SC2086 # verb and arguments
    gives 4 "${member[@]}" bulkheadctl $verb
    says "only root and the user of bulkheadd may"
  done
  is_in_state disk0 running
  has "$disk1" nvme
  has_drop_ins ""
}
check "no permission: status 4; members of the group look, and change nothing" permissions

stop_and_start() {
  bulkheadctl stop disk0 | snapshot 65-stop.txt
  has "$disk0" nvme
  [ "$(status disk0 desired) $(status disk0 state)" = "stopped idle" ]
  # Neither a reload nor an event of the device undoes it.
  kill -HUP "$(bulkheadd_pid)"
  echo add >"/sys/bus/pci/devices/$disk0/uevent"
  sleep 1
  is_in_state disk0 idle
  bulkheadctl --json stop disk0 | snapshot 65-stop.json
  bulkheadctl --json start disk0 | snapshot 65-start.json
  bulkheadctl start disk0 | snapshot 65-start.txt
  bulkheadctl restart disk0 | snapshot 65-restart.txt
  bulkheadctl --json restart disk0 | snapshot 65-restart.json
  [ "$(status disk0 desired) $(status disk0 state)" = "running running" ]
}
check "stop, start, restart: desired and observed state" stop_and_start

mistakes() {
  mkdir -p /etc/bulkhead/bulkhead.d
  printf '[[device]]\naddress = "05:00.0"\ndriwer = "nvme"\n' >"$LAB_WORK/new.toml"
  ctl_error 78 config-check config check "$LAB_WORK/new.toml"
  gives 78 bulkheadctl config check --json "$LAB_WORK/new.toml"
  snapshot 65-config-check-mistakes.json <"$LAB_WORK/out"
  cp "$LAB_WORK/new.toml" /etc/bulkhead/bulkhead.d/20-new.toml
  ctl_error 78 config-check-all config check
  ctl_error 78 attach-mistakes attach "$disk1"
  ctl_error 78 detach-mistakes detach disk0 --permanent
  is_in_state disk0 running
  has "$disk1" nvme
  rm /etc/bulkhead/bulkhead.d/20-new.toml
  # For a moment only, a device can be given back in spite of mistakes elsewhere.
  chmod 600 /etc/bulkhead/bulkhead.toml
  gives 0 bulkheadctl config check
  ctl_error 78 config-check-missing config check /nowhere.toml
  has_drop_ins ""
  printf 'name = "broken"\nclass = "tape"\n' >/usr/lib/bulkhead/drivers/broken.toml
  gives 0 bulkheadctl drivers
  { cat "$LAB_WORK/out" && cat "$LAB_WORK/err"; } | snapshot 65-drivers-broken.txt
  rm /usr/lib/bulkhead/drivers/broken.toml
}
check "mistakes: file, line and column, status 78, and nothing is changed" mistakes

failures() {
  local pid
  kill_driver disk0
  eventually 30 is_generation disk0 2
  [ "$(status disk0 restarts)" != 0 ]
  pid=$(status disk0 driverPid)
  bulkheadctl reset-failed disk0 | snapshot 65-reset-failed.txt
  [ "$(status disk0 restarts) $(status disk0 driverPid)" = "0 $pid" ] || fail "a driver that runs is left alone"
  for _ in 1 2 3; do
    eventually 30 is_in_state disk0 running
    kill_driver disk0
    sleep 0.5
  done
  eventually 30 is_in_state disk0 quarantined
  [ "$(status disk0 desired)" = running ]
  bulkheadctl reset-failed
  is_in_state disk0 running
  [ "$(status disk0 restarts)" = 0 ]
}
check "reset-failed forgets restarts, and ends a quarantine" failures

forgotten() {
  local disk
  mkdir -p "$LAB_WORK/mnt"
  bulkheadctl stop disk0 >/dev/null
  disk=$(kernel_block_device "$disk0")
  mount "$disk" "$LAB_WORK/mnt" || { mkfs.ext4 -qF "$disk" && mount "$disk" "$LAB_WORK/mnt"; }
  gives 6 bulkheadctl start disk0
  is_in_state disk0 refused
  bulkheadctl --json reset-failed disk0 | snapshot 65-reset-failed.json
  is_in_state disk0 idle
  umount "$LAB_WORK/mnt"
  has "$disk0" nvme
  bulkheadctl start disk0 >/dev/null
  # A driver that can do nothing with the device: the SATA controller has none of its BARs.
  device_entry bad 0000:00:1f.2 >/etc/bulkhead/bulkhead.d/30-bad.toml
  kill -HUP "$(bulkheadd_pid)"
  eventually 30 is_in_state bad failed
  [ "$(status bad desired)" = running ]
  bulkheadctl reset-failed bad | snapshot 65-reset-failed-idle.txt
  [ -z "$(status bad reason)$(status bad hint)" ] || fail "the reason stays: $(status bad reason)"
  rm /etc/bulkhead/bulkhead.d/30-bad.toml
  kill -HUP "$(bulkheadd_pid)"
}
check "reset-failed of what was refused or has failed starts nothing" forgotten

varlink() {
  python3 - >"$LAB_WORK/answers" <<'PYTHON'
import json, socket
def call(method, parameters=None, **more):
    link = socket.socket(socket.AF_UNIX)
    link.connect("/run/bulkhead/io.bulkhead")
    link.sendall(json.dumps({"method": method, **({} if parameters is None else {"parameters": parameters}), **more}).encode() + b"\0")
    text = b""
    while not text.endswith(b"\0"):
        text += link.recv(65536)
    return json.loads(text[:-1])
def show(*arguments, **more):
    answer = call(*arguments, **more)
    print(arguments, "->", answer.get("error"), json.dumps(answer.get("parameters"), sort_keys=True))
show("io.bulkhead.Nothing")
show("io.elsewhere.List")
show("List")
show("io.bulkhead.Start")
show("io.bulkhead.List", {"al": True})
show("io.bulkhead.List", [])
show("io.bulkhead.Attach", {"device": "03:00.0", "permanent": "yes"})
show("io.bulkhead.Attach", {"device": "0000:7f:00.0"})
show("io.bulkhead.Monitor")
show("org.varlink.service.GetInterfaceDescription", {"interface": "io.elsewhere"})
show("org.varlink.service.GetInfo")
text = call("org.varlink.service.GetInterfaceDescription", {"interface": "io.bulkhead"})["parameters"]["description"]
for method in "Attach", "Detach", "ResetFailed", "ListDrivers", "ShowConfiguration", "CheckConfiguration":
    assert f"\nmethod {method}(" in text, method
PYTHON
  snapshot 65-varlink.txt <"$LAB_WORK/answers"
}
check "varlink: the standard errors, by name" varlink

completion() {
  local words
  words=$(bash -c '
    . /usr/share/bash-completion/bash_completion
    . /usr/share/bash-completion/completions/bulkheadctl
    for line in "bulkheadctl " "bulkheadctl attach --driver n" "bulkheadctl attach 0000:02" "bulkheadctl config "; do
      COMP_WORDS=($line) COMP_LINE=$line COMP_POINT=${#line} COMPREPLY=()
      [ "${line% }" = "$line" ] || COMP_WORDS+=("")
      COMP_CWORD=$((${#COMP_WORDS[@]} - 1))
      _bulkheadctl_with_colons bulkheadctl "${COMP_WORDS[COMP_CWORD]}" "${COMP_WORDS[COMP_CWORD - 1]}"
      echo "$line: ${COMPREPLY[*]}"
    done')
  echo "$words"
  for expected in " attach detach " " reset-failed " "drivers config" "--driver n: none nvme" \
    "0000:02: *${disk1#0000:}" "config : .*check show"; do
    grep -q -- "$expected" <<<"$words" || fail "is not completed: $expected"
  done
}
check "completions know verbs, drivers and devices" completion
