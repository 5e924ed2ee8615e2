import Platform

/// Finds out which disks hang on a PCI device and who uses them.
struct BlockDeviceUse {
  let tree: KernelTree
  let probe: any HostProbe

  /// The block devices (disks and partitions) below a PCI device, as named in `/sys/class/block`.
  func blockDevices(of address: PCIAddress) -> [String] {
    guard let root = tree.resolved("bus/pci/devices/\(address)") else { return [] }
    let below = tree.names("class/block").filter { tree.resolved("class/block/\($0)")?.hasPrefix(root + "/") == true }
    return (below + multipathHeads(below: root)).sorted()
  }

  /// With native NVMe multipath the disk that people use lies below `/sys/devices/virtual/nvme-subsystem`, and only a
  /// hidden path to it below the controller. The subsystem links to its controllers.
  private func multipathHeads(below root: String) -> [String] {
    tree.names("class/nvme-subsystem").flatMap { subsystem -> [String] in
      let path = "class/nvme-subsystem/\(subsystem)"
      let isOurs = tree.names(path).contains { tree.resolved("\(path)/\($0)")?.hasPrefix(root + "/") == true }
      guard isOurs, let directory = tree.resolved(path) else { return [] }
      return tree.names("class/block").filter {
        tree.resolved("class/block/\($0)")?.hasPrefix(directory + "/") == true
      }
    }
  }

  func refusals(for device: PCIDevice) -> [Refusal] {
    let mounts = Mount.parse(tree.procText("self/mountinfo") ?? "")
    let swaps = (tree.procText("swaps") ?? "").split(separator: "\n").dropFirst().compactMap {
      $0.split(whereSeparator: { $0 == " " || $0 == "\t" }).first.flatMap { tree.deviceNodeName(String($0)) }
    }
    return blockDevices(of: device.address).flatMap { name -> [Refusal] in
      let found = [mounted(name, device, mounts), swapped(name, device, swaps), held(name, device)].compactMap { $0 }
      if !found.isEmpty { return found }
      return claimed(name, device).map { [$0] } ?? []
    }
  }

  private func mounted(_ name: String, _ device: PCIDevice, _ mounts: [Mount]) -> Refusal? {
    let number = tree.attribute("class/block/\(name)/dev")
    // A file system over several devices (btrfs) has a number of its own; it names one of them as its source.
    let mount = mounts.first { $0.device == number || tree.deviceNodeName($0.source) == name }
    let place = mount?.place ?? btrfs(name)
    guard let place else { return nil }
    return Refusal(
      code: "disk-mounted", message: "/dev/\(name) of \(device.summary) is mounted on \(place)",
      hint: "umount \(place), then try again", overridable: true)
  }

  /// The other devices of a btrfs are only listed here.
  private func btrfs(_ name: String) -> String? {
    tree.names("fs/btrfs").first { tree.exists("fs/btrfs/\($0)/devices/\(name)") }.map { "btrfs \($0)" }
  }

  private func swapped(_ name: String, _ device: PCIDevice, _ swaps: [String]) -> Refusal? {
    guard swaps.contains(name) else { return nil }
    return Refusal(
      code: "disk-swap", message: "/dev/\(name) of \(device.summary) is swapped on",
      hint: "swapoff /dev/\(name), then try again", overridable: true)
  }

  private func held(_ name: String, _ device: PCIDevice) -> Refusal? {
    let holders = tree.names("class/block/\(name)/holders").map { holder in
      tree.attribute("class/block/\(holder)/dm/name").map { "\(holder) (\($0))" } ?? holder
    }
    guard !holders.isEmpty else { return nil }
    return Refusal(
      code: "disk-held", message: "/dev/\(name) of \(device.summary) is part of \(holders.joined(separator: ", "))",
      hint: "stop what is built on it (vgchange -an, mdadm --stop, cryptsetup close), then try again",
      overridable: true)
  }

  private func claimed(_ name: String, _ device: PCIDevice) -> Refusal? {
    guard probe.isClaimed(blockDevice: "\(tree.dev)/\(name)") else { return nil }
    return Refusal(
      code: "disk-claimed", message: "/dev/\(name) of \(device.summary) is in exclusive use",
      hint: "a mount in another namespace, ZFS, or a running tool has it: fuser -v /dev/\(name)", overridable: true)
  }
}

/// A line of mountinfo (proc(5)).
struct Mount: Equatable {
  /// `major:minor`.
  var device: String
  var place: String
  var source: String

  /// `36 35 98:0 /root /place options [optional...] - type source options`
  static func parse(_ text: String) -> [Mount] {
    text.split(separator: "\n").compactMap { line in
      let words = line.split(separator: " ").map(String.init)
      guard let dash = words.firstIndex(of: "-"), dash >= 6, words.count > dash + 2 else { return nil }
      return Mount(device: words[2], place: unescape(words[4]), source: unescape(words[dash + 2]))
    }
  }

  /// The kernel writes space, tab, newline and backslash as three octal digits.
  private static func unescape(_ text: String) -> String {
    let bytes = Array(text.utf8)
    var plain: [UInt8] = []
    var at = 0
    while at < bytes.count {
      let digits = bytes[(at + 1)...].prefix(3)
      if bytes[at] == UInt8(ascii: "\\"), digits.count == 3,
        let value = UInt8(String(decoding: digits, as: UTF8.self), radix: 8)
      {
        plain.append(value)
        at += 4
      } else {
        plain.append(bytes[at])
        at += 1
      }
    }
    return String(decoding: plain, as: UTF8.self)
  }
}
