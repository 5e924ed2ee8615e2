import ArgumentParser
import Control
import Glibc
import Logging
import Platform
import Protocol
import Supervisor

@main
struct Bulkheadd: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "bulkheadd",
    abstract: "The supervisor of PCI device drivers that run outside the kernel.",
    discussion: """
      Takes the PCI devices that its configuration names, and only those, gives each a broker and a jailed driver, and \
      watches over them. SIGTERM gives every device back; SIGHUP reads the configuration anew; SIGUSR1 leaves at once, \
      with everything running, for the next bulkheadd. Without control groups brokers and drivers end with it.

      With --emulated it makes a device of its own, needs no root (an e1000e: CAP_NET_ADMIN), and reads a configuration only if --config gives one:

        bulkheadd --emulated nvme,file=disk.img,size=64M

      Exit status: 0 stopped in order, 1 failure, 64 wrong arguments, 75 left to the next bulkheadd, 78 errors in the \
      configuration.
      """,
    version: bulkheadVersion)

  @Option(help: "Configuration file. (default: /etc/bulkhead/bulkhead.toml, or none with --emulated)")
  var config: String?

  @Option(
    help:
      "Folder of drop-ins: *.toml, in the order of their names, after the file. (default: /etc/bulkhead/bulkhead.d, or none with --emulated; \"\": none)"
  )
  var configDir: String?

  @Option(
    help: ArgumentHelp(
      "An emulated device; may be repeated.",
      discussion: "nvme or e1000e, then options behind commas: name, file, size and others (docs/emulation.md)."))
  var emulated: [String] = []

  @Option(
    help: """
      Folder of drivers' manifests, in it or one level below; may be repeated. (default: drivers in --libexec-dir, or \
      udrivers beside a build folder)
      """)
  var driverDir: [String] = []

  @Option(
    help: """
      Folder of the brokers, of bulkhead-jail and of drivers that are not beside their manifest. (default: the folder \
      of bulkheadd if they are in it, else \(Installation.standardLibexec))
      """)
  var libexecDir: String?

  @Option(
    help: """
      Folder for sockets and records. (default: \(RuntimeFolder.system) for root, else $XDG_RUNTIME_DIR/bulkhead or \
      /tmp/bulkhead-UID)
      """)
  var runtimeDir: String?

  @Option(help: "Socket of the varlink service. (default: io.bulkhead in --runtime-dir)")
  var socket: String?

  @Option(
    help: """
      Control group of the devices, below the mount point of cgroup v2, such as /my.slice/devices.service; it must be \
      there. (default: below the unit's own if systemd has delegated that, else /bulkhead)
      """)
  var controlGroup: String?

  @Option(help: "trace, debug, info, notice, warning, error or critical.")
  var logLevel = "info"

  @Flag(help: "Check the configuration, print what is wrong with it, and leave.")
  var checkConfig = false

  @Flag(help: "With --check-config: print mistakes, devices and drivers as JSON.")
  var json = false

  @Flag(
    help: """
      Give back every device that an earlier bulkheadd has left behind, and leave: for when bulkheadd cannot start any \
      more. Not while a disk is mounted.
      """)
  var giveBack = false

  @Flag(help: "With --give-back: disks that are in use, too; what is not written yet is lost.")
  var force = false

  @Option(name: .customLong(BindingProcess.option), help: .private)
  var order: String?

  @Flag(help: "Print the state machines as Markdown, and leave.")
  var printProtocols = false

  func validate() throws {
    guard Logger.Level(rawValue: logLevel) != nil else {
      throw ValidationError("'\(logLevel)' is no log level")
    }
    if force, !giveBack { throw ValidationError("--force belongs to --give-back") }
    if json, !checkConfig { throw ValidationError("--json belongs to --check-config") }
    let drivers = driverDir.map { ("--driver-dir", String?.some($0)) }
    let files = [("--config", config), ("--runtime-dir", runtimeDir), ("--socket", socket)]
    for case (let option, ""?) in files + drivers + [("--libexec-dir", libexecDir)] {
      throw ValidationError("\(option) is empty: give it a path, or leave it out")
    }
    for case (let option, let folder?) in drivers + [("--libexec-dir", libexecDir)]
    where !Installation.isFolder(folder) {
      throw ValidationError("\(option): there is no folder '\(folder)'")
    }
    _ = try emulatedDevices()
  }

  private func emulatedDevices() throws -> [(text: String, device: EmulatedDevice)] {
    try emulated.map { text in
      do throws(Failure) { return (text, try EmulatedDevice(parsing: text, relativeTo: Self.workingFolder)) } catch {
        throw ValidationError("--emulated \(text): cannot \(error.step)\(error.hint.isEmpty ? "" : ": \(error.hint)")")
      }
    }
  }

  private static var workingFolder: String? {
    guard let path = getcwd(nil, 0) else { return nil }
    defer { free(path) }
    return String(cString: path)
  }

  /// Links and other processes name it, too.
  private static func absolute(_ path: String) -> String {
    path.hasPrefix("/") ? path : "\(workingFolder ?? ".")/\(path)"
  }

  func run() throws {
    if printProtocols {
      print(DeviceLifecycle.machine.markdown)
      print(DriverConversation.machine.markdown)
      return
    }
    if let order {
      guard BindingProcess.run(order) else { throw ValidationError("--\(BindingProcess.option): this is no order") }
      return
    }
    let level = Logger.Level(rawValue: logLevel) ?? .info
    if JournalLogHandler.isConnected {
      LoggingSystem.bootstrap { _ in JournalLogHandler(level: level) }
    } else {
      LoggingSystem.bootstrap { _ in LineLogHandler(level: level) }
    }
    let installation = Installation(libexec: libexecDir, driverDirectories: driverDir)
    let runtime = Self.absolute(runtimeDir ?? RuntimeFolder.standard)
    // Drop-ins of the system belong to the system's file.
    let dropIns = (configDir ?? (emulated.isEmpty ? "/etc/bulkhead/bulkhead.d" : "")).nonEmpty
    let loader = ConfigurationLoader(
      file: config ?? (emulated.isEmpty ? "/etc/bulkhead/bulkhead.toml" : nil),
      directory: dropIns,
      runtimeDirectory: dropIns != nil ? "\(runtime)/bulkhead.d" : nil,
      driverDirectories: installation.driverDirectories,
      executableDirectories: installation.executableDirectories, emulated: try emulatedDevices())
    if checkConfig { throw ExitCode(ConfigurationCheck.run(loader, json: json)) }
    var paths = Paths()
    paths.libexec = installation.libexec
    paths.runtime = runtime
    paths.socket = socket
    paths.controlGroup = controlGroup
    let daemon = Daemon(loader: loader, paths: paths, log: Logger(label: "bulkheadd"), version: bulkheadVersion)
    throw ExitCode(giveBack ? daemon.giveBackAll(force: force) : daemon.run())
  }
}

extension String {
  fileprivate var nonEmpty: String? { isEmpty ? nil : self }
}
