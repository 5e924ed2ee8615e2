import Glibc

/// Which files of Bulkhead a daemon uses: those it was built with, or else those that are installed.
public struct Installation: Equatable, Sendable {
  public static let standardLibexec = "/usr/lib/bulkhead"

  /// The folder of the brokers and of `bulkhead-jail`.
  public var libexec: String
  public var driverDirectories: [String]

  /// - Parameters:
  ///   - libexec: nil: the daemon's own folder where the brokers are in it, as in a build folder, else
  ///     ``standardLibexec``.
  ///   - driverDirectories: empty: `drivers` in ``libexec``; where that is a build folder, the sources' `udrivers`.
  ///   - folder: of the daemon's executable.
  public init(libexec: String?, driverDirectories: [String], folder: String = Installation.ownFolder) {
    let isBuild = FileText.isExecutable("\(folder)/bulkhead-broker")
    self.libexec = libexec ?? (isBuild ? folder : Self.standardLibexec)
    self.driverDirectories = driverDirectories
    guard driverDirectories.isEmpty else { return }
    let installed = "\(self.libexec)/drivers"
    let sources = FileText.exists(installed) ? nil : Self.sources(above: self.libexec)
    self.driverDirectories = [sources ?? installed]
  }

  /// Drivers have their executable beside their manifest, or in ``libexec``.
  public var executableDirectories: [String] { [libexec] }

  /// Whether there is a folder at a path.
  public static func isFolder(_ path: String) -> Bool {
    var found = stat()
    return stat(path, &found) == 0 && found.st_mode & S_IFMT == S_IFDIR
  }

  /// Of the program that runs.
  public static var ownFolder: String {
    var path = [CChar](repeating: 0, count: Int(PATH_MAX) + 1)
    guard readlink("/proc/self/exe", &path, Int(PATH_MAX)) > 0 else { return "." }
    return FileText.folder(of: path.withUnsafeBufferPointer { String(cString: $0.baseAddress!) })
  }

  /// The `udrivers` beside a build folder such as `.build/x86_64-unknown-linux-gnu/debug`.
  private static func sources(above libexec: String) -> String? {
    var folder = libexec.withCString { name in
      guard let full = realpath(name, nil) else { return libexec }
      defer { free(full) }
      return String(cString: full)
    }
    for _ in 0..<4 {
      folder = FileText.folder(of: folder)
      if FileText.exists("\(folder)/udrivers") { return "\(folder)/udrivers" }
    }
    return nil
  }
}
