import CBulkhead
import Glibc
import Platform

/// Whether somebody uses a block device of ours, and for what.
struct OutletUse {
  var proc = "/proc"
  var sys = "/sys"

  /// One sentence for each use of `/dev/<name>` or a partition of it; empty if there is none.
  func uses(of name: String) -> [String] {
    let numbers = deviceNumbers(name)
    var uses: [String] = []
    // A file system over several devices (btrfs) has a number of its own; it names one of them as its source.
    for mount in mounts() where numbers.contains(mount.device) || OutletUse.isPart(mount.source, of: "/dev/\(name)") {
      uses.append("/dev/\(name) is mounted on \(mount.point)")
    }
    if uses.isEmpty { uses = btrfs(name) }
    let swaps = FileText.contents("\(proc)/swaps") ?? ""
    for line in swaps.split(separator: "\n").dropFirst() where OutletUse.isPart(line, of: "/dev/\(name)") {
      uses.append("/dev/\(name) is in use as swap space")
    }
    for part in [name] + partitions(name) {
      let directory = part == name ? "\(sys)/class/block/\(name)/holders" : "\(sys)/class/block/\(part)/holders"
      for holder in FileText.names(in: directory) { uses.append("/dev/\(part) is part of /dev/\(holder)") }
    }
    return uses
  }

  /// The other devices of a btrfs are only listed here, and so are those that are mounted where process 1 does not see it.
  private func btrfs(_ name: String) -> [String] {
    FileText.names(in: "\(sys)/fs/btrfs").flatMap { system in
      FileText.names(in: "\(sys)/fs/btrfs/\(system)/devices").filter { ([name] + partitions(name)).contains($0) }
        .map { "/dev/\($0) is part of the mounted btrfs \(system)" }
    }
  }

  private func partitions(_ name: String) -> [String] {
    FileText.names(in: "\(sys)/class/block/\(name)").filter { $0.hasPrefix(name) }
  }

  private func deviceNumbers(_ name: String) -> Set<String> {
    Set(
      ([name] + partitions(name)).compactMap {
        FileText.contents("\(sys)/class/block/\($0)/dev")?.split(separator: "\n").first.map(String.init)
      })
  }

  /// The mounts that process 1 sees: the supervisor may have a view of its own.
  private func mounts() -> [(device: String, point: String, source: Substring)] {
    let text = FileText.contents("\(proc)/1/mountinfo") ?? FileText.contents("\(proc)/self/mountinfo") ?? ""
    return text.split(separator: "\n").compactMap { line in
      let fields = line.split(separator: " ")
      guard fields.count > 4 else { return nil }
      // Behind the optional fields: a hyphen, the type, the source (proc_pid_mountinfo(5)).
      let hyphen = fields.dropFirst(6).firstIndex(of: "-")
      let source = hyphen.flatMap { $0 + 2 < fields.count ? fields[$0 + 2] : nil } ?? ""
      return (String(fields[2]), String(fields[4]), OutletUse.resolved(source))
    }
  }

  /// Where a link such as `/dev/bulkhead/scratch` leads; what is no file stays as it is.
  private static func resolved(_ path: Substring) -> Substring {
    guard path.hasPrefix("/dev/"), let full = realpath(String(path), nil) else { return path }
    defer { free(full) }
    return String(cString: full)[...]
  }

  private static func isPart(_ line: Substring, of device: String) -> Bool {
    guard let path = line.split(whereSeparator: { $0 == " " || $0 == "\t" }).first else { return false }
    return path == device || (path.hasPrefix(device + "p") && path.dropFirst(device.count + 1).allSatisfy(\.isNumber))
  }
}
