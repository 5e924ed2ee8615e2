import Control
import Platform

/// Changes of drop-ins that come with a change of the devices: on the disk already, under other names, before a device is
/// touched, and in their places once the device is what they say.
struct DropInChange {
  /// The new text of each file; nil: it goes.
  private(set) var texts: [String: String?] = [:]

  var isEmpty: Bool { texts.isEmpty }
  var paths: Set<String> { Set(texts.keys) }

  mutating func write(_ dropIn: DropIn, in directory: String) { texts[dropIn.path(in: directory)] = .some(dropIn.text) }

  mutating func remove(_ path: String) { texts[path] = .some(nil) }

  /// Writes the texts beside their places.
  /// - Throws: `drop-in`; nothing is left then.
  func stage() throws(Failure) {
    for case (let path, let text?) in texts {
      var error = FileText.makeDirectories(FileText.folder(of: path))
      if error == 0 { error = FileText.stage(path, text) }
      guard error == 0 else {
        discard()
        throw Failure(
          "drop-in", "write \(path)", errno: error,
          hint: "the folder must be writable for bulkheadd: see ReadWritePaths= in systemctl cat bulkhead")
      }
    }
  }

  /// Puts everything in its place. What goes, goes first: a crash in between leaves a device to the kernel rather than two
  /// entries for it.
  /// - Throws: `drop-in`.
  func commit() throws(Failure) {
    for case (let path, nil) in texts {
      let error = FileText.removeDurably(path)
      guard error == 0 else { throw Failure("drop-in", "remove \(path)", errno: error) }
    }
    for case (let path, .some) in texts {
      let error = FileText.commit(path)
      guard error == 0 else { throw Failure("drop-in", "write \(path)", errno: error) }
    }
  }

  func discard() {
    for case (let path, .some) in texts { FileText.discard(path) }
  }
}

extension Daemon {
  /// Puts changes in force without what else has changed in the files since they were read.
  /// - Returns: what takes them back.
  /// - Throws: `InvalidConfiguration` where the files would have mistakes with them; `Failed` where they cannot be written.
  func putInForce(_ change: DropInChange, for device: String, mustBeRight: Bool) throws(ServiceError) -> () -> Void {
    guard !change.isEmpty else { return {} }
    var candidate = loader
    candidate.pending.merge(change.texts) { $1 }
    let issues = IssueLog()
    let new = candidate.load(log: issues)
    if mustBeRight, !issues.isEmpty {
      throw ServiceError(
        .invalidConfiguration, device: device,
        message: "the configuration would have mistakes; nothing was changed",
        hint: "mend them: bulkheadctl config check", issues: issues.issues.map(Issue.init))
    }
    do throws(Failure) { try change.stage() } catch {
      throw ServiceError(.failed, device: device, message: error.oneLine, hint: error.hint)
    }
    let paths = change.paths
    let former = configuration.entries.filter { paths.contains($0.location.file) }
    loader.pending.merge(change.texts) { $1 }
    configuration.drivers = new.drivers
    configuration.brokenDrivers = new.brokenDrivers
    configuration.replaceEntries(of: paths, with: new.entries.filter { paths.contains($0.location.file) })
    return { [weak self] in
      change.discard()
      guard let self else { return }
      for path in paths { self.loader.pending[path] = nil }
      self.configuration.replaceEntries(of: paths, with: former)
    }
  }

  /// Makes changes that are in force last.
  func record(_ change: DropInChange, for device: String) throws(ServiceError) {
    defer { for path in change.paths { loader.pending[path] = nil } }
    do throws(Failure) { try change.commit() } catch {
      throw ServiceError(
        .failed, device: device, message: "done, but not recorded: \(error.oneLine)",
        hint: error.hint.isEmpty ? "the next bulkheadd does not know of it" : error.hint)
    }
  }
}

extension Configuration {
  fileprivate mutating func replaceEntries(of files: Set<String>, with new: [DeviceEntry]) {
    entries.removeAll { files.contains($0.location.file) }
    entries += new
  }
}
