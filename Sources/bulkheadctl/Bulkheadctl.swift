import ArgumentParser
import Control
import Glibc

@main
struct Bulkheadctl: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "bulkheadctl",
    abstract: "Look at and control PCI devices whose drivers run outside the kernel.",
    discussion: """
      DEVICE is an address (0000:01:00.0, or 01:00.0 in domain 0) or the name that the configuration gives it.

      Exit status: 0 done, 1 the operation failed, 3 no such device, 4 no permission, 5 bulkheadd \
      cannot be reached or does not answer, 6 the device was refused, 64 arguments are wrong or missing, 78 mistakes in \
      the configuration.
      """,
    version: bulkheadVersion,
    subcommands: [
      List.self, Status.self, Start.self, Stop.self, Restart.self, ResetFailed.self, Attach.self, Detach.self,
      Check.self, Monitor.self, Top.self, Logs.self, Metrics.self, Drivers.self, Config.self,
    ],
    defaultSubcommand: List.self)

  /// As the argument parser's own, but options that every verb understands may stand before the verb too, and output that
  /// was not written is a failure.
  static func main() {
    Output.prepare()
    do {
      var command = try parseAsRoot(optionsBehindVerb(Array(CommandLine.arguments.dropFirst())))
      try command.run()
    } catch {
      let code = exitCode(for: error)
      let text = fullMessage(for: error)
      if !text.isEmpty { code.isSuccess ? print(text) : writeError(text) }
      Output.end(code)
    }
    Output.end(.success)
  }

  private static func optionsBehindVerb(_ arguments: [String]) -> [String] {
    var rest = arguments[...]
    var leading = takeOptions(from: &rest)
    guard let verb = rest.popFirst() else { return leading }
    switch verb {
    case "help": return [verb] + rest
    case "config":
      // It has verbs of its own, and no options.
      leading += takeOptions(from: &rest)
      guard let second = rest.first, !second.hasPrefix("-") else { return [verb] + rest }
      return [verb, second] + leading + rest.dropFirst()
    default: return [verb] + leading + rest
    }
  }

  /// Those that every verb understands, from the front.
  private static func takeOptions(from rest: inout ArraySlice<String>) -> [String] {
    var options: [String] = []
    while let first = rest.first, ["--json", "--no-legend", "--socket"].contains(first) || first.hasPrefix("--socket=")
    {
      let count = min(first == "--socket" ? 2 : 1, rest.count)
      options += rest.prefix(count)
      rest = rest.dropFirst(count)
    }
    return options
  }
}
