import CBulkhead
import Platform

/// Whether somebody uses a block device of ours, and for what.
struct OutletUse {
  var proc = "/proc"
  var sys = "/sys"

  /// One sentence for each use of `/dev/<name>` or a partition of it; empty if there is none.
  func uses(of name: String) -> [String] {
    let numbers = deviceNumbers(name)
    var uses: [String] = []
    for mount in mounts() where numbers.contains(mount.device) {
      uses.append("/dev/\(name) is mounted on \(mount.point)")
    }
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
  private func mounts() -> [(device: String, point: String)] {
    let text = FileText.contents("\(proc)/1/mountinfo") ?? FileText.contents("\(proc)/self/mountinfo") ?? ""
    return text.split(separator: "\n").compactMap { line in
      let fields = line.split(separator: " ")
      return fields.count > 4 ? (String(fields[2]), String(fields[4])) : nil
    }
  }

  private static func isPart(_ line: Substring, of device: String) -> Bool {
    guard let path = line.split(whereSeparator: { $0 == " " || $0 == "\t" }).first else { return false }
    return path == device || (path.hasPrefix(device + "p") && path.dropFirst(device.count + 1).allSatisfy(\.isNumber))
  }
}
