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
}
