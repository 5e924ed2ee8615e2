# shellcheck shell=bash
# lab: deadline=90
# The kernel as device side of the network queues: vhost-net moves frames between a TAP and the memory of a driver, and
# nothing else's. The probe plays the driver.

probe=/usr/lib/bulkhead/vhost-probe
verdicts=$LAB_WORK/vhost-probe.log

probe_runs() {
  [ -x "$probe" ] || skip "vhost-probe is not installed"
  [ -c /dev/vhost-net ] || skip "this kernel has no vhost-net"
  "$probe" 2>&1 | tee "$verdicts"
}
check "the probe ends well" probe_runs

# said NAME: the probe's verdict on one thing.
said() {
  [ -f "$verdicts" ] || skip "the probe did not run"
  grep -qx "ok $1" "$verdicts" || fail "$(grep "^failed $1" "$verdicts" || echo "the probe did not come to it")"
}
check "a frame each way" said both-ways
check "frames outside of the arena are not read" said refuses-to-read
check "buffers outside of the arena are not written" said refuses-to-write
check "the next driver works after one that lied" said next-driver
check "the interface stays through all of them" said interface-stays

interface_is_gone() { [ ! -e /sys/class/net/bhv0 ] || fail "bhv0 is still there"; }
check "the interface goes with its last file" interface_is_gone
