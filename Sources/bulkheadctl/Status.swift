import ArgumentParser
import Control
import Glibc

struct Status: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "All that is known of a device, or of all configured ones.")

  @OptionGroup var options: GlobalOptions

  @Argument(help: "Address or name.", completion: .device)
  var device: String?

  func run() throws {
    let reply: Service.DevicesReply = try options.call(.status, Service.DeviceParameters(device: device))
    if options.json {
      // One device was asked for: one object, not an array of one.
      if device != nil, let only = reply.devices.first { return print(JSON.pretty(only)) }
      return print(JSON.pretty(reply.devices))
    }
    if reply.devices.isEmpty { writeError(DeviceTable.emptyHint) }
    let now = time(nil)
    let pages = reply.devices.map { StatusPage.text($0, now: now, style: options.style) }
    print(pages.joined(separator: "\n"), terminator: "")
  }
}
