import ArgumentParser
import Control

struct Start: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Take a device and start its driver; waits until it serves, or cannot.")

  @OptionGroup var options: GlobalOptions

  @Argument(help: "Address or name.", completion: .device)
  var device: String

  func run() throws { try options.operate(.start, Service.DeviceParameters(device: device)) }
}
