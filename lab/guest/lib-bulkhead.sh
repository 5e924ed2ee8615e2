# shellcheck shell=bash
# Part of lib.sh: the lab's devices, and the life of bulkheadd.

# Fixed by lab/lib/machine.sh.
nvme_address() { echo "0000:0$((${1:-0} + 1)):00.0"; }
e1000e_address() { echo 0000:03:00.0; }
virtio_net_address() { echo 0000:04:00.0; }
edu_address() { echo 0000:05:00.0; }

# driver_of ADDRESS: the kernel driver that has the device, or "none".
driver_of() {
  local link=/sys/bus/pci/devices/$1/driver
  if [ -e "$link" ]; then basename "$(readlink "$link")"; else echo none; fi
}
# group_of ADDRESS: the number of its IOMMU group.
group_of() { basename "$(readlink "/sys/bus/pci/devices/$1/iommu_group")"; }

# kernel_block_device ADDRESS [NAMESPACE]: /dev/nvmeXnY of an NVMe device that the kernel drives. Of a multipath device the
# controller has a hidden path, nvmeXcZnY, which is no file in /dev.
kernel_block_device() {
  local path
  path=$(find "/sys/bus/pci/devices/$1/nvme/" -mindepth 2 -maxdepth 2 -name "nvme*n${2:-1}" | head -1)
  [ -n "$path" ] && echo "/dev/${path##*/}" | sed -E 's/c[0-9]+n/n/'
}

# bind ADDRESS DRIVER: gives the device to that kernel driver; "none" clears the override and probes again.
bind() {
  local device=/sys/bus/pci/devices/$1
  [ ! -e "$device/driver" ] || echo "$1" >"$device/driver/unbind"
  if [ "$2" = none ]; then echo >"$device/driver_override"; else echo "$2" >"$device/driver_override"; fi
  echo "$1" >/sys/bus/pci/drivers_probe
}

BULKHEADD_PID_FILE=/run/lab-bulkheadd.pid

bulkheadd_pid() { cat "$BULKHEADD_PID_FILE"; }
bulkheadd_runs() { kill -0 "$(bulkheadd_pid)" 2>/dev/null; }

# start_bulkheadd [ARGUMENT...]: in a session of its own, logging to /lab/out/bulkheadd.log; waits until it
# answers bulkheadctl, and fails when it ends before.
start_bulkheadd() {
  local log=$LAB_OUT/bulkheadd.log limit=$((SECONDS + LAB_PATIENCE * 30)) mark
  echo "--- $LAB_SCENARIO: bulkheadd $*" >>"$log"
  mark=$(wc -l <"$log")
  # shellcheck disable=SC2016 # expanded by the inner bash
  setsid /bin/bash -c 'echo $$ >"$0"; exec /usr/sbin/bulkheadd "$@"' "$BULKHEADD_PID_FILE" "$@" \
    >>"$log" 2>&1 </dev/null &
  eventually 20 test -s "$BULKHEADD_PID_FILE"
  until bulkheadctl list >/dev/null 2>&1; do
    if ! bulkheadd_runs || [ "$SECONDS" -ge "$limit" ]; then
      tail -n "+$((mark + 1))" "$log" | tail -n 20
      echo "bulkheadd does not answer"
      return 1
    fi
    sleep 0.2
  done
}

# stop_bulkheadd [SIGNAL]: TERM by default; waits for its end, and fails (after KILL) when that hangs, or when it had
# ended by itself.
stop_bulkheadd() {
  local pid status=0
  [ -s "$BULKHEADD_PID_FILE" ] || return 0
  pid=$(bulkheadd_pid)
  if lab_gone "$pid"; then
    echo "bulkheadd $pid had ended already; the last of its log:"
    tail -n 20 "$LAB_OUT/bulkheadd.log"
    rm -f "$BULKHEADD_PID_FILE"
    return 1
  fi
  kill -s "${1:-TERM}" "$pid" 2>/dev/null || true
  if ! eventually 30 lab_gone "$pid"; then
    kill -KILL "$pid" 2>/dev/null || true
    status=1
  fi
  rm -f "$BULKHEADD_PID_FILE"
  return $status
}

# start_monitor COMMAND...: this "bulkheadctl monitor" in the background (job %1), into $LAB_WORK/monitor; it listens when
# this returns.
start_monitor() {
  "$@" >"$LAB_WORK/monitor" &
  eventually 10 bulkheadctl_listens
}
bulkheadctl_listens() { find "/proc/$(pgrep -nx bulkheadctl)/fd" -lname 'socket:*' | grep .; }

# lab_gone PROCESS: it has ended, whether somebody has waited for it or not.
lab_gone() { [ ! -d "/proc/$1" ] || grep -q '^State:.Z' "/proc/$1/status" 2>/dev/null || [ ! -d "/proc/$1" ]; }

# pids_of NAME: the processes whose executable is called so, oldest first ("" when there are none).
pids_of() { pgrep --exact -- "${1:0:15}" || true; }
# control_group_of PROCESS: its folder.
control_group_of() { echo "/sys/fs/cgroup$(sed -n 's/^0:://p' "/proc/$1/cgroup")"; }
