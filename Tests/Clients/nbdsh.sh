# shellcheck shell=bash
# Part of Tests/Clients/run: nbdsh, and scripts for libnbd, whose shell it is.

one_liner() {
  local answer
  # nbdsh takes the first python3 on the PATH.
  answer=$(PATH=/usr/bin:$PATH timeout 30 nbdsh -u "$URI" \
    -c 'h.pwrite(b"\x5c" * 4096, 8192, nbd.CMD_FLAG_FUA)' -c 'h.flush()' \
    -c 'print(h.get_size(), h.pread(4096, 8192) == b"\x5c" * 4096, h.get_structured_replies_negotiated())')
  [ "$answer" = "$SIZE True True" ] || fail "it says: $answer"
}
test_case "nbdsh writes and reads" one_liner

export CLIENTS_BLOCK=${CLIENTS_BLOCK:-} CLIENTS_EXPORT=${CLIENTS_EXPORT:-}
export CLIENTS_READ_ONLY=${CLIENTS_READ_ONLY:-} CLIENTS_SLOW=$SLOW
pass_on "$PYTHON" "$CLIENTS/libnbd_options.py" "$SOCKET"
pass_on "$PYTHON" "$CLIENTS/libnbd_commands.py" "$SOCKET"
