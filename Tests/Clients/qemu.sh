# shellcheck shell=bash
# Part of Tests/Clients/run: QEMU's block layer as a client.

qemu_info() {
  # An image format would be guessed from what is on the disk.
  timeout 30 qemu-io -f raw -c "write -z 0 64k" "$URI"
  timeout 30 qemu-img info --output=json "$URI" | tee "$WORK/info.json"
  "$PYTHON" -c "import json, sys
info = json.load(open('$WORK/info.json'))
sys.exit(None if (info['virtual-size'], info['format']) == ($SIZE, 'raw') else 'size or format')"
}
test_case "qemu-img info" qemu_info

convert() {
  sparse_noise "$WORK/there"
  timeout 120 qemu-img convert -n -f raw -O raw "$WORK/there" "$URI"
  timeout 120 qemu-img compare -f raw -F raw "$WORK/there" "$URI"
  timeout 120 qemu-img convert -f raw -O qcow2 "$URI" "$WORK/back.qcow2"
  timeout 120 qemu-img compare -f qcow2 -F raw "$WORK/back.qcow2" "$URI"
  timeout 120 qemu-img compare -f qcow2 -F raw "$WORK/back.qcow2" "$WORK/there"
  # Or compare proves nothing.
  qemu-io -f qcow2 -c "write -P 0x99 $((SIZE / 2)) 512" "$WORK/back.qcow2"
  ! timeout 120 qemu-img compare -f qcow2 -F raw "$WORK/back.qcow2" "$URI" || fail "compare sees no difference"
  rm -f "$WORK/there" "$WORK/back.qcow2"
}
test_case "qemu-img convert both ways, and compare" convert

convert_out_of_order() {
  noise "$WORK/there" $((SLOW ? 16 : 48))
  timeout 120 qemu-img convert -n -W -m 16 -f raw -O raw "$WORK/there" "$URI"
  timeout 120 qemu-img dd -f raw -O raw bs=1M count=$(($(stat -c %s "$WORK/there") >> 20)) "if=$URI" "of=$WORK/back"
  same "$WORK/there" "$WORK/back" "$(stat -c %s "$WORK/there")"
  rm -f "$WORK/there" "$WORK/back"
}
test_case "qemu-img convert out of order with 16 coroutines" convert_out_of_order

# io COMMAND...: qemu-io commands on one connection; any complaint fails.
io() {
  local commands=() command
  for command in "$@"; do commands+=(-c "$command"); done
  timeout 60 qemu-io -t none -f raw "${commands[@]}" "$URI" >"$WORK/io" 2>&1 || { cat "$WORK/io" && fail "qemu-io: status $?"; }
  cat "$WORK/io"
  ! grep -iE 'fail|error|verif' "$WORK/io" || fail "qemu-io complains"
}
patterns() {
  io "write -P 0x11 0 1M" "write -P 0x22 1M 1M" "write -P 0x33 4k 4k" "read -P 0x11 0 4k" "read -P 0x33 4k 4k" \
    "read -P 0x11 8k 1016k" "read -P 0x22 1M 1M" flush
  io "read -P 0x11 0 4k" "read -P 0x33 4k 4k" "read -P 0x22 1M 1M"
}
test_case "qemu-io writes patterns and reads them, on another connection too" patterns

zeroes() {
  io "write -P 0x44 0 2M" "write -z 64k 128k" "write -z -u 512k 256k" "read -P 0 64k 128k" "read -P 0 512k 256k" \
    "read -P 0x44 0 64k" "read -P 0x44 192k 320k" "read -P 0x44 768k 256k"
}
test_case "qemu-io write -z, with and without unmapping, reads as zeroes; its neighbours stay" zeroes

discard() {
  io "write -P 0x55 0 2M" "discard 64k 128k" "read -P 0x55 0 64k" "read 64k 128k" "read -P 0x55 192k 1M" \
    "write -P 0x56 64k 128k" "read -P 0x56 64k 128k"
}
test_case "qemu-io discard; its neighbours stay, and it can be written again" discard

durable() { io "write -f -P 0x66 0 64k" "write -z -f 64k 64k" flush "read -P 0x66 0 64k" "read -P 0 64k 64k"; }
test_case "qemu-io write -f (FUA) and flush" durable

odd_sizes() {
  io "write -P 0x70 0 64k" "write -P 0x77 1234 77" "read -P 0x77 1234 77" "read -P 0x70 0 1234" "read -P 0x70 1311 10000" \
    "write -P 0x78 5000 9001" "read -P 0x78 5000 9001" "read -P 0x70 14001 1000"
}
test_case "qemu-io writes that are no multiple of the block size" odd_sizes

at_the_end() {
  io "write -P 0x7e $((SIZE - BLOCK)) $BLOCK" "read -P 0x7e $((SIZE - BLOCK)) $BLOCK"
  ! timeout 30 qemu-io -f raw -c "read $SIZE $BLOCK" "$URI" || fail "a read behind the end succeeds"
}
test_case "qemu-io on the last block, and not behind it" at_the_end

many_at_once() {
  local commands=() number
  for number in $(seq 1 48); do commands+=("aio_write -q -P $number ${number}M 512k"); done
  commands+=(aio_flush)
  for number in $(seq 1 48); do commands+=("aio_read -q -P $number ${number}M 512k"); done
  commands+=(aio_flush)
  io "${commands[@]}"
}
test_case "qemu-io with 48 requests under way" many_at_once
