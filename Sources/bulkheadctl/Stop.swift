import ArgumentParser
import Control

struct Stop: ParsableCommand {
  static let configuration = CommandConfiguration(abstract: "Stop a device's driver and give it back to the kernel.")

  @OptionGroup var options: GlobalOptions

  @Flag(help: "Even if its block device is in use; what is not written yet is lost.")
  var force = false

  @Argument(help: "Address or name.", completion: .device)
  var device: String

  func run() throws { try options.operate(.stop, Service.StopParameters(device: device, force: force)) }
}
