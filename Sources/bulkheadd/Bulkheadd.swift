import ArgumentParser
import Control
import Glibc
import Logging
import Protocol
import Supervisor

@main
struct Bulkheadd: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "bulkheadd",
    abstract: "The supervisor of PCI device drivers that run outside the kernel.",
    discussion: """
      Takes the PCI devices that its configuration names, and only those, gives each a broker and a jailed driver, and \
      watches over them. SIGTERM gives every device back; SIGHUP reads the configuration anew.

      Exit status: 0 stopped in order, 1 failure, 64 wrong arguments, 78 errors in the configuration.
      """,
    version: bulkheadVersion)

  @Option(help: "Configuration file.")
  var config = "/etc/bulkhead/bulkhead.toml"

  @Option(help: "Folder of drop-ins: *.toml, in the order of their names, after the file.")
  var configDir = "/etc/bulkhead/bulkhead.d"

  @Option(help: "Folder of drivers and their manifests; may be repeated. (default: DIR/drivers of --libexec-dir)")
  var driverDir: [String] = []

  @Option(help: "Folder of bulkhead-broker and bulkhead-jail.")
  var libexecDir = "/usr/lib/bulkhead"

  @Option(help: "Folder for sockets and records.")
  var runtimeDir = "/run/bulkhead"

  @Option(help: "Socket of the varlink service. (default: io.bulkhead in --runtime-dir)")
  var socket: String?

  @Option(help: "trace, debug, info, notice, warning, error or critical.")
  var logLevel = "info"

  @Flag(help: "Check the configuration, print what is wrong with it, and leave.")
  var checkConfig = false

  @Flag(help: "Print the state machines as Markdown, and leave.")
  var printProtocols = false

  func validate() throws {
    guard Logger.Level(rawValue: logLevel) != nil else {
      throw ValidationError("'\(logLevel)' is no log level")
    }
  }

  func run() throws {
    if printProtocols {
      print(DeviceLifecycle.machine.markdown)
      print(DriverConversation.machine.markdown)
      return
    }
    let level = Logger.Level(rawValue: logLevel) ?? .info
    LoggingSystem.bootstrap { _ in LineLogHandler(level: level) }
    let loader = ConfigurationLoader(
      file: config, directory: configDir, driverDirectories: driverDir.isEmpty ? ["\(libexecDir)/drivers"] : driverDir)
    if checkConfig { throw ExitCode(ConfigurationCheck.run(loader)) }
    var paths = Paths()
    paths.libexec = libexecDir
    paths.runtime = runtimeDir
    paths.socket = socket
    let daemon = Daemon(loader: loader, paths: paths, log: Logger(label: "bulkheadd"), version: bulkheadVersion)
    throw ExitCode(daemon.run())
  }
}
