import CBulkhead
import Glibc
import Logging
import PCI
import Platform

/// Open files that systemd keeps, so that they outlive a bulkheadd that crashes, is killed or hands over (FDSTORE= in
/// sd_notify(3)). Without systemd it keeps nothing, and everything is found again by its name.
///
/// systemd gives all of them to each next bulkheadd and keeps them besides. So a file is stored once, and not again by
/// the supervisor that gets it. What nobody takes is closed, and systemd told to forget it.
final class FileStore {
  /// `FileDescriptorStoreMax=` of bulkhead.service, where systemd does not say (`FDSTORE` in the environment, since 254).
  static let standardLimit = 512

  private let notification: ServiceNotification
  private let limit: Int
  private let log: Logger
  /// Of an earlier supervisor, and not taken yet. Ours to close.
  private var waiting: [StoredFile: Int32] = [:]
  /// What systemd has.
  private(set) var kept: Set<StoredFile> = []
  private var hasComplained = false

  /// - Parameter inherited: what systemd has handed over, without sockets of units. Files whose names are unknown are
  ///   closed.
  init(
    notification: ServiceNotification = ServiceNotification(socket: nil), inherited: [SocketActivation.File] = [],
    limit: Int = FileStore.standardLimit, log: Logger
  ) {
    self.notification = notification
    self.limit = limit
    self.log = log
    for file in inherited {
      guard let stored = StoredFile(name: file.name) else {
        drop(file.name, file.number, because: "no file of ours is called so")
        continue
      }
      guard waiting[stored] == nil else {
        // Names are all that systemd knows them by: it forgets both, and the first is stored anew when it is taken.
        drop(file.name, file.number, because: "there is another one of that name")
        kept.remove(stored)
        continue
      }
      waiting[stored] = file.number
      kept.insert(stored)
    }
  }

  deinit { for file in waiting.values { Descriptor.close(file) } }

  /// What systemd says that it keeps at most.
  static var limitOfEnvironment: Int {
    getenv("FDSTORE").flatMap { Int(String(cString: $0)) }.map { max($0, 0) } ?? standardLimit
  }

  /// Whether what is kept outlives us.
  var isThere: Bool { notification.isHeard && limit > 0 }

  /// Whether an earlier supervisor has left files of the device that nobody has taken.
  func holds(_ address: PCIAddress) -> Bool { waiting.keys.contains { $0.address == address } }

  /// Gives the files of a device, in their order, to the caller. systemd keeps them.
  func take(_ kind: StoredFile.Kind, of address: PCIAddress) -> [(name: StoredFile, file: Int32)] {
    let names = waiting.keys.filter { $0.kind == kind && $0.address == address }.sorted { $0.number < $1.number }
    return names.map { ($0, waiting.removeValue(forKey: $0)!) }
  }

  /// Has systemd keep a copy of a file, if it has none of that name.
  func keep(_ file: Int32, as name: StoredFile) {
    guard notification.isHeard, !kept.contains(name) else { return }
    guard kept.count < limit else { return complain("systemd keeps \(limit) files at most (FileDescriptorStoreMax=)") }
    // It would look into each of them for an end that it has not: frames would wake it.
    let error = notification.send("FDSTORE=1\nFDNAME=\(name)\nFDPOLL=0", files: [file])
    guard error == 0 else { return complain("systemd was not given \(name): \(Failure.name(of: error))") }
    kept.insert(name)
  }

  private func complain(_ text: String) {
    if !hasComplained {
      log.warning("\(text); a crash of bulkheadd would be harder on what it has")
    }
    hasComplained = true
  }

  /// Has systemd forget a file that the caller has, or had.
  func forget(_ name: StoredFile) {
    if kept.remove(name) != nil { notification.send("FDSTOREREMOVE=1\nFDNAME=\(name)") }
  }

  /// Forgets all of a device, and closes what nobody has taken.
  /// - Parameter reason: why, for the log, which tells of the latter only.
  func forgetAll(of address: PCIAddress, _ kind: StoredFile.Kind? = nil, because reason: String) {
    for (name, file) in waiting where name.address == address && (kind == nil || name.kind == kind) {
      waiting[name] = nil
      FileStore.prepareToClose(name, file)
      drop("\(name)", file, because: reason)
      kept.remove(name)
    }
    for name in kept where name.address == address && (kind == nil || name.kind == kind) { forget(name) }
  }

  /// A persistent interface that nobody has taken up would stay for ever where no record leads to it.
  static func prepareToClose(_ name: StoredFile, _ file: Int32) {
    if name.kind == .tap { _ = bh_tap_set_persistent(file, 0) }
  }

  /// Forgets the files of devices that are not ours any more.
  func forgetAll(except addresses: Set<PCIAddress>) {
    for address in Set(waiting.keys.map(\.address)).subtracting(addresses).sorted() {
      forgetAll(of: address, because: "the device is not ours any more")
    }
  }

  private func drop(_ name: String, _ file: Int32, because reason: String) {
    log.notice("a file that systemd has kept is closed: \(name): \(reason)")
    Descriptor.close(file)
    notification.send("FDSTOREREMOVE=1\nFDNAME=\(name)")
  }
}
