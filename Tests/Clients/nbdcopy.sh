# shellcheck shell=bash
# Part of Tests/Clients/run: nbdcopy both ways.

# How many bytes are copied: a file smaller than the disk is allowed, nbdcopy writes what there is.
copied=$SIZE
most=64
[ -z "$SLOW" ] || most=16
[ "$copied" -le $((most << 20)) ] || copied=$((most << 20))

# there_and_back OPTION...: noise to the disk, the disk to a file, the same hash.
there_and_back() {
  noise "$WORK/there" $((copied >> 20))
  timeout 120 nbdcopy "$@" "$WORK/there" "$URI"
  timeout 120 nbdcopy "$@" "$URI" "$WORK/back"
  [ "$(stat -c %s "$WORK/back")" = "$SIZE" ] || fail "$(stat -c %s "$WORK/back") bytes came back"
  same "$WORK/there" "$WORK/back" "$copied"
  rm -f "$WORK/there" "$WORK/back"
}
test_case "nbdcopy both ways, equal hashes" there_and_back --flush
test_case "nbdcopy on one connection, one request at a time" there_and_back --synchronous
test_case "nbdcopy on 4 connections with 64 requests each" there_and_back --connections=4 --requests=64 --flush
test_case "nbdcopy in requests of 1 MiB" there_and_back --request-size=$((1 << 20)) --connections=2

holes() {
  noise "$WORK/noise" $((copied >> 20))
  timeout 120 nbdcopy "$WORK/noise" "$URI"
  sparse_noise "$WORK/there"
  timeout 120 nbdcopy --flush "$WORK/there" "$URI"
  timeout 120 nbdcopy "$URI" "$WORK/back"
  same "$WORK/there" "$WORK/back"
  rm -f "$WORK/noise" "$WORK/there" "$WORK/back"
}
test_case "nbdcopy of a file with holes leaves zeroes where noise was" holes

through_a_pipe() {
  noise "$WORK/there" 8
  timeout 60 nbdcopy - "$URI" <"$WORK/there"
  timeout 60 nbdcopy "$URI" - | head -c $((8 << 20)) >"$WORK/back" || true
  same "$WORK/there" "$WORK/back" $((8 << 20))
}
test_case "nbdcopy through pipes, whose end it does not wait for" through_a_pipe
