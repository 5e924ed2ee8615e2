# shellcheck shell=bash
# Sourced by the lab's scripts on the host: Bulkhead on emulated devices, here and now, without a VM.

native_pid='' native_runtime=''

# start_native TREE ARGUMENT...: bulkheadd from an installed tree, as the user who asks, or as NATIVE_USER (root only). It
# ends with the script at the latest. Its log is in LAB/native.log.
start_native() {
  local tree=$1 before=()
  shift
  # The path of a socket must be short.
  native_runtime=$(mktemp -d "${TMPDIR:-/tmp}/bulkhead-native.XXXXXX")
  if [ -n "${NATIVE_USER:-}" ]; then
    chown "$NATIVE_USER:$NATIVE_USER" "$native_runtime"
    before=(setpriv "--reuid=$NATIVE_USER" "--regid=$NATIVE_USER" --clear-groups --no-new-privs)
  fi
  echo "--- bulkheadd $*" >>"$LAB/native.log"
  "${before[@]}" "$tree/usr/sbin/bulkheadd" --libexec-dir "$tree/usr/lib/bulkhead" \
    --driver-dir "$tree/usr/lib/bulkhead/drivers" --runtime-dir "$native_runtime" "$@" </dev/null >>"$LAB/native.log" 2>&1 &
  native_pid=$!
}

# native_socket DEVICE: the path of its NBD socket.
native_socket() { echo "$native_runtime/nbd/$1.sock"; }

# native_status TREE DEVICE FIELD: one field of bulkheadctl's status; empty if it does not answer.
native_status() {
  "$1/usr/bin/bulkheadctl" status --socket "$native_runtime/io.bulkhead" --json "$2" 2>/dev/null | python3 -c '
import json, sys
try: value = json.load(sys.stdin)
except ValueError: value = {}
if isinstance(value, dict) and "devices" in value: value = value["devices"]
if isinstance(value, list): value = value[0] if value else {}
print(value.get(sys.argv[1], ""))' "$3"
}

# native_runs TREE DEVICE: waits until it serves; fails with the log's end.
native_runs() {
  local limit=$((SECONDS + 20))
  until [ -S "$(native_socket "$2")" ] && [ "$(native_status "$1" "$2" state)" = running ]; do
    if ! kill -0 "$native_pid" 2>/dev/null || [ "$SECONDS" -ge "$limit" ]; then
      tail -n 20 "$LAB/native.log" >&2
      say native "$2 does not run"
      return 1
    fi
    sleep 0.1
  done
}

# stop_native: in order; fails when bulkheadd does not end within 20 s, or not with 0.
stop_native() {
  local status=0 tries=0
  [ -n "$native_pid" ] || return 0
  kill -TERM "$native_pid" 2>/dev/null || true
  while kill -0 "$native_pid" 2>/dev/null && [ "$tries" -lt 200 ]; do
    sleep 0.1
    tries=$((tries + 1))
  done
  kill -KILL "$native_pid" 2>/dev/null && status=124
  wait "$native_pid" 2>/dev/null || status=$?
  native_pid=''
  rm -rf "$native_runtime"
  return "$status"
}
