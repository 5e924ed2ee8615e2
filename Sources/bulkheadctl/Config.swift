import ArgumentParser
import Control

struct Config: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Check the configuration, or show what it comes to.", subcommands: [ConfigCheck.self, ConfigShow.self])

  /// Without one of its verbs: an argument is missing, as a device is where a verb needs one.
  func run() throws {
    writeError("Error: Missing expected argument '<subcommand>'")
    writeError("Usage: bulkheadctl config <subcommand>")
    writeError("  See 'bulkheadctl config --help' for more information.")
    throw ExitCode.validationFailure
  }
}

struct ConfigCheck: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "check",
    abstract: "What is wrong with the configuration: file, line, column, and what to do; works without bulkheadd too.",
    discussion: """
      Touches no device, and puts nothing in force. With FILE only that file is read, so a drop-in can be checked before it \
      is put in its place; without it, bulkheadd's own files and all drop-ins. Mistakes: status 78. With --json the list \
      of them, empty where there are none.
      """)

  @OptionGroup var options: GlobalOptions
  @OptionGroup var files: ConfigurationFiles

  @Argument(help: "A configuration file. (default: those of bulkheadd)", completion: .file(extensions: ["toml"]))
  var file: String?

  func validate() throws {
    if file == "" { throw ValidationError("FILE is empty: give it a path, or leave it out") }
    if file != nil, files.config != nil { throw ValidationError("name the file once: as FILE or with --config") }
  }

  func run() throws {
    let issues = try options.ask(
      .checkConfiguration, Service.NoParameters(), unless: file != nil || files.areNamed,
      { (reply: Service.IssuesReply) in reply.issues }, else: { try files.report(only: file).issues }, source: nil)
    if options.json {
      print(JSON.pretty(issues))
    } else if issues.isEmpty {
      print("ok")
    } else {
      writeError(String(issues.text.dropLast()))
    }
    if !issues.isEmpty { throw ExitStatus.configuration.code }
  }
}

struct ConfigShow: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "show",
    abstract: "What the configuration comes to for each device, and where each value comes from.",
    discussion: """
      As bulkheadd has it in force, or where that does not run, or files are named, as the files say. The output is TOML \
      that says the same.
      """)

  @OptionGroup var options: GlobalOptions
  @OptionGroup var files: ConfigurationFiles

  @Argument(help: "Address or name; without it, all devices of the configuration.", completion: .device)
  var device: String?

  func run() throws {
    let devices = try options.ask(
      .showConfiguration, Service.DeviceParameters(device: device), unless: files.areNamed,
      { (reply: Service.ConfigurationReply) in reply.devices }, else: { try files.listing(of: device) })
    if options.json {
      if device != nil, devices.count == 1 { return print(JSON.pretty(devices[0])) }
      return print(JSON.pretty(devices))
    }
    print(ConfigurationPage.text(devices, style: options.style), terminator: "")
  }
}
