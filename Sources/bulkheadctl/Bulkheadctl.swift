import ArgumentParser
import Control

@main
struct Bulkheadctl: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "bulkheadctl",
    abstract: "Look at and control PCI devices whose drivers run outside the kernel.",
    discussion: """
      DEVICE is an address (0000:01:00.0, or 01:00.0 in domain 0) or the name that the configuration gives it.

      Exit status: 0 done, 1 the operation failed, 3 no such device, 4 no permission, 5 bulkheadd \
      cannot be reached, 6 the device was refused, \
      64 wrong arguments.
      """,
    version: bulkheadVersion,
    subcommands: [
      List.self, Status.self, Start.self, Stop.self, Restart.self, Check.self, Monitor.self,
    ],
    defaultSubcommand: List.self)

  /// As the argument parser's own, but options that every verb understands may stand before the verb too.
  static func main() {
    main(optionsBehindVerb(Array(CommandLine.arguments.dropFirst())))
  }

  private static func optionsBehindVerb(_ arguments: [String]) -> [String] {
    var leading: [String] = []
    var rest = arguments[...]
    while let first = rest.first, ["--json", "--no-legend", "--socket"].contains(first) || first.hasPrefix("--socket=")
    {
      let count = min(first == "--socket" ? 2 : 1, rest.count)
      leading += rest.prefix(count)
      rest = rest.dropFirst(count)
    }
    guard let verb = rest.popFirst() else { return leading }
    return [verb] + leading + rest
  }
}
