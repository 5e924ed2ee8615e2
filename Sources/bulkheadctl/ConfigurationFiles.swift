import ArgumentParser
import Control
import Glibc

/// The files of the configuration, for where no daemon is to be asked: bulkheadd's program reads them for us.
struct ConfigurationFiles: ParsableArguments {
  @Option(
    help: "Read this configuration file instead of asking bulkheadd.", completion: .file(extensions: ["toml"]))
  var config: String?

  @Option(
    help: "Folder of drop-ins. (default: /etc/bulkhead/bulkhead.d, or none if a file is named)", completion: .directory)
  var configDir: String?

  @Option(
    help: "Folder of drivers' manifests, in it or one level below; may be repeated. (default: as bulkheadd's)",
    completion: .directory)
  var driverDir: [String] = []

  @Option(
    help: "Folder of drivers that are not beside their manifest. (default: as bulkheadd's)", completion: .directory)
  var libexecDir: String?

  func validate() throws {
    if config == "" { throw ValidationError("--config is empty: give it a path, or leave it out") }
    if let configDir, !configDir.isEmpty, access(configDir, F_OK) != 0 {
      throw ValidationError("--config-dir: there is no folder '\(configDir)'")
    }
    for (option, folder) in driverDir.map({ ("--driver-dir", $0) }) + (libexecDir.map { [("--libexec-dir", $0)] } ?? [])
    where access(folder, F_OK) != 0 {
      throw ValidationError("\(option): there is no folder '\(folder)'")
    }
  }

  /// Somebody wants files, and not what bulkheadd has.
  var areNamed: Bool { config != nil || configDir != nil || !driverDir.isEmpty || libexecDir != nil }

  /// What the files say, mistakes and all.
  /// - Parameter file: the only file, with no drop-ins but those of `--config-dir`.
  /// - Throws: status 1 where the program cannot be run.
  func report(only file: String? = nil) throws -> ConfigurationReport {
    var arguments = ["--check-config", "--json"]
    if let named = file ?? config { arguments += ["--config", named, "--config-dir", configDir ?? ""] }
    if config == nil, file == nil, let configDir { arguments += ["--config-dir", configDir] }
    for folder in driverDir { arguments += ["--driver-dir", folder] }
    if let libexecDir { arguments += ["--libexec-dir", libexecDir] }
    let program = Self.program
    let output = ProgramOutput.of(program, arguments)
    guard let output, let report = try? JSON.decode(ConfigurationReport.self, from: output) else {
      writeError("bulkheadctl: \(program) has not told what the files say")
      writeError("Hint: is the package bulkhead installed, all of one version?")
      throw ExitStatus.failed.code
    }
    return report
  }

  /// - Throws: status 78 with the mistakes told, 3 for a device that is not named.
  func listing(of device: String?) throws -> [ConfiguredDevice] {
    let report = try report()
    guard report.issues.isEmpty else {
      writeError(String(report.issues.text.dropLast()))
      throw ExitStatus.configuration.code
    }
    guard let device else { return report.devices }
    let chosen = report.devices.filter { $0.isMeant(by: device) }
    guard chosen.isEmpty else { return chosen }
    writeError("bulkheadctl: the configuration does not name \"\(device)\"")
    let names = report.devices.compactMap { $0.name ?? $0.address }
    writeError(names.isEmpty ? "Hint: it names no device" : "Hint: it names \(names.joined(separator: ", "))")
    throw ExitStatus.noSuchDevice.code
  }

  /// bulkheadd: beside us in a build folder, or in the sbin beside our bin.
  private static var program: String {
    var path = [CChar](repeating: 0, count: Int(PATH_MAX) + 1)
    guard readlink("/proc/self/exe", &path, Int(PATH_MAX)) > 0 else { return "/usr/sbin/bulkheadd" }
    let own = path.withUnsafeBufferPointer { String(cString: $0.baseAddress!) }
    let folder = own.lastIndex(of: "/").map { own[..<$0] } ?? ""
    return ["\(folder)/bulkheadd", "\(folder)/../sbin/bulkheadd"].first { access($0, X_OK) == 0 }
      ?? "/usr/sbin/bulkheadd"
  }
}
