# shellcheck shell=bash
# Part of Tests/Clients/run: nbdfuse, the export as a file.

as_a_file() {
  command -v nbdfuse fusermount3 >/dev/null || skip "nbdfuse or fusermount3 is not installed"
  [ -c /dev/fuse ] || skip "there is no /dev/fuse"
  # A container may have the node and not the right to it.
  (: <>/dev/fuse) 2>/dev/null || skip "/dev/fuse cannot be opened here"
  mkdir "$WORK/mnt"
  nbdfuse --pidfile "$WORK/nbdfuse.pid" "$WORK/mnt/disk" "$URI" 2>"$WORK/nbdfuse.log" &
  local tries=0
  # Not local: the trap below comes after this function.
  fuse=$!
  trap 'fusermount3 -u "$WORK/mnt" || kill "$fuse" || true; wait "$fuse" || true' EXIT
  until [ -s "$WORK/nbdfuse.pid" ]; do
    if ! kill -0 "$fuse"; then
      cat "$WORK/nbdfuse.log"
      ! grep -iE 'fuse.*(not permitted|denied)' "$WORK/nbdfuse.log" || skip "mounting is not permitted here"
      fail "nbdfuse ended"
    fi
    tries=$((tries + 1))
    [ "$tries" -lt 100 ] || fail "nbdfuse does not mount"
    sleep 0.1
  done
  [ "$(stat -c %s "$WORK/mnt/disk")" = "$SIZE" ] || fail "the file has $(stat -c %s "$WORK/mnt/disk") bytes"
  noise "$WORK/there" 8
  timeout 60 dd if="$WORK/there" of="$WORK/mnt/disk" bs=64k conv=notrunc,fsync status=none
  timeout 60 cmp -n $((8 << 20)) "$WORK/there" "$WORK/mnt/disk"
  # Another client sees it, not only the page cache.
  timeout 60 nbdcopy "$URI" "$WORK/back"
  same "$WORK/there" "$WORK/back" $((8 << 20))
}
test_case "nbdfuse: the disk as a file, written, synced, read" as_a_file
