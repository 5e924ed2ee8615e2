import ArgumentParser
import Control

struct Restart: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Replace a device's driver; its outlet stays. Also the way out of quarantine.")

  @OptionGroup var options: GlobalOptions

  @Argument(help: "Address or name.", completion: .device)
  var device: String

  func run() throws { try options.operate(.restart, Service.DeviceParameters(device: device)) }
}
