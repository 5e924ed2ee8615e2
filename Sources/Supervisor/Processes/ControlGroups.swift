import CBulkhead
import Control
import Glibc
import Platform

/// The cgroup v2 tree: one group for each device, with the groups `broker` and `driver` below it.
///
/// Where systemd has given us our own group (Delegate=yes) it is the base, and the supervisor moves into a leaf below it,
/// because a group with processes of its own cannot hand controllers down. systemd 252 could then not put the next
/// supervisor into that group while brokers are left below it: our unit gives a group of another one, which outlives us
/// (`--control-group`). Elsewhere the base is `/bulkhead`, and for a supervisor with a runtime folder of its own a group
/// that is named after that: none takes another's for leftovers.
final class ControlGroups {
  /// The one that our systemd unit names (`--control-group` in packaging/systemd/bulkhead.service).
  static let ofUnit = "/bulkhead.slice/bulkhead-devices.service"

  /// Absolute path.
  let base: String
  private var complaints: [String] = []
  private var saidComplaints = 0
  /// Whether it is to be removed at the end.
  private let isBaseOurs: Bool
  private static let controllers = ["memory", "pids", "cpu"]

  /// - Parameter given: a group that is ours to fill, below the mount point; nil: the place is found as told above.
  /// - Throws: ``Failure`` `cgroup-missing` where no cgroup v2 is mounted, `cgroup`.
  init(proc: String = "/proc", runtime: String, given: String? = nil) throws(Failure) {
    guard let mounts = FileText.contents("\(proc)/self/mountinfo"), let mount = ControlGroups.mountPoint(in: mounts)
    else {
      throw Failure(
        "cgroup-missing", "find the cgroup v2 file system", hint: "boot with systemd.unified_cgroup_hierarchy=1")
    }
    if let given {
      isBaseOurs = false
      base = mount + given
      guard FileText.exists(base) else {
        throw Failure("cgroup-missing", "use the control group \(given)", hint: "systemctl start bulkhead-devices")
      }
      enableControllers(in: base)
      return
    }
    let own = FileText.contents("\(proc)/self/cgroup").flatMap(ControlGroups.ownPath) ?? "/"
    isBaseOurs = own == "/" || bh_cgroup_delegated(mount + own) != 1
    if !isBaseOurs {
      base = mount + own
      try makeDirectory("\(base)/supervisor")
      _ = FileText.write("0", to: "\(base)/supervisor/cgroup.procs")
    } else {
      base = "\(mount)/\(ControlGroups.name(for: runtime))"
      enableControllers(in: mount)
      try makeDirectory(base)
    }
    enableControllers(in: base)
  }

  /// The mount point of cgroup v2 in the text of mountinfo (proc(5)).
  static func mountPoint(in mounts: String) -> String? {
    for line in mounts.split(separator: "\n") {
      let halves = line.components(separatedBy: " - ")
      guard halves.count == 2, halves[1].hasPrefix("cgroup2 ") else { continue }
      let fields = halves[0].split(separator: " ")
      if fields.count > 4 { return String(fields[4]) }
    }
    return nil
  }

  /// The path of the process in the v2 tree: the line `0::/path` of /proc/self/cgroup.
  static func ownPath(_ text: String) -> String? {
    text.split(separator: "\n").first { $0.hasPrefix("0::") }.map { String($0.dropFirst(3)) }
  }

  /// `bulkhead` for the system's supervisor, `bulkhead-tmp-test` for one with the runtime folder `/tmp/test`.
  static func name(for runtime: String) -> String {
    guard runtime != RuntimeFolder.system else { return "bulkhead" }
    return "bulkhead" + runtime.split(separator: "/").map { "-\($0)" }.joined().suffix(200)
  }

  /// What could not be had and was not told before; for the log.
  func takeComplaints() -> [String] {
    defer { saidComplaints = complaints.count }
    return Array(complaints[saidComplaints...])
  }

  private func path(_ name: String) -> String { "\(base)/\(name)" }

  /// Makes the groups of a device and sets the driver's limits. A limit whose controller is missing is complained of.
  /// - Throws: ``Failure`` `cgroup`.
  func make(_ name: String, limits: DeviceSettings.Limits) throws(Failure) {
    let group = path(name)
    try makeDirectory(group)
    enableControllers(in: group)
    try makeDirectory("\(group)/broker")
    try makeDirectory("\(group)/driver")
    set("memory.max", "\(limits.memory)", in: "\(group)/driver")
    // Swapping would only make a leak slow; and a driver is killed as a whole.
    set("memory.swap.max", "0", in: "\(group)/driver", isOptional: true)
    set("memory.oom.group", "1", in: "\(group)/driver", isOptional: true)
    set("pids.max", "\(limits.pids)", in: "\(group)/driver")
    set(
      "cpu.max", limits.cpu.map { "\($0 * 1000) 100000" } ?? "max 100000", in: "\(group)/driver",
      isOptional: limits.cpu == nil)
  }

  /// Opens the group `broker` or `driver` of a device, to be given to a new process.
  func open(_ name: String, _ child: String) throws(Failure) -> Descriptor {
    let directory = "\(path(name))/\(child)"
    return try FileText.open(directory, "cgroup")
  }

  /// Kills whatever is left in the groups of a device and removes them.
  func remove(_ name: String) {
    let group = path(name)
    guard FileText.exists(group) else { return }
    _ = FileText.write("1", to: "\(group)/cgroup.kill")
    for _ in 0..<100 where FileText.contents("\(group)/cgroup.events")?.contains("populated 1") == true {
      usleep(20_000)
    }
    for child in ["broker", "driver"] { rmdir("\(group)/\(child)") }
    rmdir(group)
  }

  /// Removes the base where it is ours and empty.
  func removeBase() {
    if isBaseOurs { rmdir(base) }
  }

  /// The devices that an earlier supervisor has left groups of.
  func leftovers() -> [String] {
    FileText.names(in: base).filter { $0.contains(":") && FileText.exists("\(path($0))/driver") }
  }

  private func makeDirectory(_ path: String) throws(Failure) {
    guard mkdir(path, 0o755) == 0 || errno == EEXIST else {
      throw Failure("cgroup", "make the control group \(path)", errno: errno)
    }
  }

  /// One at a time: a missing controller must not keep the others away.
  private func enableControllers(in group: String) {
    for controller in Self.controllers { _ = FileText.write("+\(controller)", to: "\(group)/cgroup.subtree_control") }
  }

  private func set(_ file: String, _ value: String, in group: String, isOptional: Bool = false) {
    let error = FileText.write(value, to: "\(group)/\(file)")
    guard error != 0, !isOptional else { return }
    let complaint = "no driver has its limit \(file): \(Failure.name(of: error)) (below \(base))"
    if !complaints.contains(complaint) { complaints.append(complaint) }
  }
}

extension StringProtocol {
  /// The parts between occurrences of `separator`.
  func components(separatedBy separator: String) -> [String] {
    var parts: [String] = []
    var rest = self[...]
    while let range = rest.firstRange(of: separator) {
      parts.append(String(rest[..<range.lowerBound]))
      rest = rest[range.upperBound...]
    }
    return parts + [String(rest)]
  }
}
