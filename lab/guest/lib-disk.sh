# shellcheck shell=bash
# Part of lib.sh: NVMe disks under Bulkhead.

# configure TEXT...: writes /etc/bulkhead/bulkhead.toml, and nothing beside it.
configure() {
  mkdir -p /etc/bulkhead
  rm -rf /etc/bulkhead/bulkhead.d
  printf '%s\n' "$@" >/etc/bulkhead/bulkhead.toml
}

# device_entry NAME ADDRESS [DRIVER [LINES]]: the text of one [[device]].
device_entry() {
  printf '[[device]]\nname = "%s"\naddress = "%s"\ndriver = "%s"\n%s\n' "$1" "$2" "${3:-nvme}" "${4:-}"
}

# status DEVICE FIELD: one field of "bulkheadctl --json status", such as state or outlet.units.0.kernelDevice;
# empty where it is missing.
status() {
  local device
  device=$(bulkheadctl status --json "$1") || return
  jq -r --arg path "$2" \
    '(try getpath($path | split(".") | map(tonumber? // .)) catch null) | if . == null then "" else . end' <<<"$device"
}

# violations DEVICE NAMES: how many were counted whose name matches this regular expression.
violations() {
  local device
  device=$(bulkheadctl status --json "$1") || return
  jq --arg names "$2" '[.violations[] | select(.name | test("^(?:" + $names + ")$")) | .count] | add // 0' <<<"$device"
}

# is_in_state DEVICE STATE
is_in_state() { [ "$(status "$1" state)" = "$2" ]; }
# is_generation DEVICE NUMBER: that driver, or a later one, runs.
is_generation() { [ "$(status "$1" state)" = running ] && [ "$(status "$1" generation)" -ge "$2" ]; }

# start_disks ENTRY...: configures these devices, starts bulkheadd and waits until the first one runs.
start_disks() {
  configure "$@"
  start_bulkheadd
  eventually 30 is_in_state "$(sed -n 's/^name = "\(.*\)"/\1/p' <<<"$1")" running
}

# disk_of DEVICE [UNIT]: its /dev/nbdN.
disk_of() { status "$1" "outlet.units.${2:-0}.kernelDevice"; }

# kill_driver DEVICE [SIGNAL]: hits the driver that runs now.
kill_driver() { kill -s "${2:-KILL}" "$(status "$1" driverPid)"; }

# canary_begin: starts the canary; CANARY_ADDRESS is where it is in physical memory.
canary_begin() {
  coproc CANARY { exec python3 /lab/share/guest/canary; }
  # Subshells lose a coprocess's own files, but inherit copies of them.
  exec {CANARY_ASK}>&"${CANARY[1]}" {CANARY_ANSWER}<&"${CANARY[0]}"
  # shellcheck disable=SC2034 # for the scenario
  read -r CANARY_ADDRESS <&"$CANARY_ANSWER"
}
# canary_verdict: "intact" or "CHANGED".
canary_verdict() {
  local verdict=silent
  echo look >&"$CANARY_ASK"
  read -r verdict <&"$CANARY_ANSWER" || true
  echo "$verdict"
}
