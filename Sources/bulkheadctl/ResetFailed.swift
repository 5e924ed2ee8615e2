import ArgumentParser
import Control

struct ResetFailed: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Forget what has failed: restarts, violations, and the states failed, refused and quarantined.",
    discussion: """
      A failed or refused device becomes idle and is not started. A quarantined one, whose outlet is open and has requests \
      waiting, gets its next driver, as with restart.
      """)

  @OptionGroup var options: GlobalOptions

  @Argument(help: "Address or name; without it, all devices of the configuration.", completion: .device)
  var device: String?

  func run() throws {
    let reply: Service.DevicesReply = try options.call(.resetFailed, Service.DeviceParameters(device: device))
    if options.json {
      if device != nil, let only = reply.devices.first { return print(JSON.pretty(only)) }
      return print(JSON.pretty(reply.devices))
    }
    print(DeviceTable.text(reply.devices, legend: !options.noLegend, style: options.style), terminator: "")
  }
}
