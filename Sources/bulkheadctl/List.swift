import ArgumentParser
import Control

struct List: ParsableCommand {
  static let configuration = CommandConfiguration(abstract: "The devices of the configuration. (default)")

  @OptionGroup var options: GlobalOptions

  @Flag(name: .shortAndLong, help: "Also the PCI devices that the configuration does not name.")
  var all = false

  func run() throws {
    let reply: Service.DevicesReply = try options.call(.list, Service.ListParameters(all: all))
    if options.json { return print(JSON.pretty(reply.devices)) }
    print(DeviceTable.text(reply.devices, legend: !options.noLegend, style: options.style), terminator: "")
    if reply.devices.isEmpty { writeError(DeviceTable.emptyHint) }
  }
}
