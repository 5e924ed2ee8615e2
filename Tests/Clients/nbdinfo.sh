# shellcheck shell=bash
# Part of Tests/Clients/run: nbdinfo, what the export says of itself.

nbdinfo_json() {
  timeout 30 nbdinfo --no-content --json "$URI" >"$WORK/info.json"
  cat "$WORK/info.json"
  CLIENTS_BLOCK=${CLIENTS_BLOCK:-} "$PYTHON" - "$WORK/info.json" "$SIZE" <<'PYTHON'
import json, os, sys
info, size = json.load(open(sys.argv[1])), int(sys.argv[2])
export = info["exports"][0]
wanted = {"is_read_only": False, "is_rotational": False, "can_flush": True, "can_fua": True, "can_trim": True,
          "can_zero": True, "can_multi_conn": True, "can_df": True, "can_cache": True, "export-size": size}
block = os.environ["CLIENTS_BLOCK"]
if block:
    wanted["block_size_minimum"] = int(block)
wrong = [f"{key} is {export.get(key)}, not {value}" for key, value in wanted.items() if export.get(key) != value]
if info["protocol"] != "newstyle-fixed" or info["TLS"] or not info["structured"]:
    wrong.append(f"protocol {info['protocol']}, TLS {info['TLS']}, structured {info['structured']}")
if "block_size_minimum" in export:
    least, preferred, most = (export[f"block_size_{name}"] for name in ("minimum", "preferred", "maximum"))
    # "Size constraints" of the protocol: powers of two, the preferred one at least 512, the largest a multiple.
    if least & (least - 1) or preferred & (preferred - 1) or preferred < max(512, least):
        wrong.append(f"block sizes {least}, {preferred}")
    if most % least or most < preferred or not (1 << 20) <= most < (1 << 32):
        wrong.append(f"largest payload {most}")
    if size % least:
        wrong.append(f"size {size} is not a multiple of {least}")
sys.exit("; ".join(wrong) or None)
PYTHON
}
test_case "nbdinfo --json tells protocol, size, block sizes and flags" nbdinfo_json

nbdinfo_words() {
  [ "$(timeout 30 nbdinfo --size "$URI")" = "$SIZE" ] || fail "--size"
  local feature
  for feature in connect flush fua trim zero multi-conn df cache write structured-reply; do
    timeout 30 nbdinfo --can "$feature" "$URI" || fail "it says no to --can $feature"
  done
  ! timeout 30 nbdinfo --is read-only "$URI" || fail "it says yes to --is read-only"
}
test_case "nbdinfo --size, --can and --is agree" nbdinfo_words

nbdinfo_list() {
  timeout 30 nbdinfo --list --json "nbd+unix:///?socket=$SOCKET" | tee "$WORK/list.json"
  "$PYTHON" - "$WORK/list.json" "${CLIENTS_EXPORT:-}" "$SIZE" <<'PYTHON'
import json, sys
exports = json.load(open(sys.argv[1]))["exports"]
name, size = sys.argv[2], int(sys.argv[3])
names = [export["export-name"] for export in exports]
if len(set(names)) != len(names) or not names:
    sys.exit(f"names {names}")
if not any(export["export-size"] == size and (not name or export["export-name"] == name) for export in exports):
    sys.exit(f"no export {name!r} of {size} bytes in {names}")
PYTHON
}
test_case "nbdinfo --list knows the export" nbdinfo_list

nbdinfo_map() {
  timeout 30 nbdinfo --no-content --json "$URI" | grep -q base:allocation || skip "the device cannot say what is allocated"
  timeout 60 qemu-io -f raw -c "write -P 0x31 $((SIZE / 2)) 1M" -c "write -z $((SIZE / 2 + (1 << 20))) 1M" "$URI"
  timeout 60 nbdinfo --map --json "$URI" | tee "$WORK/map.json"
  "$PYTHON" - "$WORK/map.json" "$SIZE" <<'PYTHON'
import json, sys
extents, size = json.load(open(sys.argv[1])), int(sys.argv[2])
end = 0
for extent in extents:
    if extent["offset"] != end or extent["length"] <= 0:
        sys.exit(f"a gap or an overlap at {end}: {extent}")
    end += extent["length"]
    # What was just written is neither a hole nor zero; more than that no server has to know.
    if extent["type"] & 3 and extent["offset"] < size // 2 + (1 << 20) and end > size // 2:
        sys.exit(f"written data are told to be a hole or zero: {extent}")
if end != size:
    sys.exit(f"the map ends at {end} of {size}")
PYTHON
}
test_case "nbdinfo --map covers the disk and calls written data data" nbdinfo_map

nbdinfo_unknown() {
  local status=0
  timeout 30 nbdinfo "nbd+unix:///no-such-export?socket=$SOCKET" || status=$?
  [ "$status" = 1 ] || fail "status $status for an unknown export"
  timeout 30 nbdinfo --size "$URI"
}
test_case "nbdinfo is told that an export is unknown" nbdinfo_unknown
