import ArgumentParser
import Control
import PCI
import Platform

struct Check: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Whether a device can be isolated, what is in the way, and what to do; works without bulkheadd too.",
    discussion: "Changes nothing. With a DEVICE that cannot be isolated the exit status is 6.")

  @OptionGroup var options: GlobalOptions

  @Argument(help: "Address or name; without it, all PCI devices.", completion: .device)
  var device: String?

  func run() throws {
    let checks = try options.ask(
      .check, Service.DeviceParameters(device: device), unless: false, { (reply: Service.ChecksReply) in reply.checks },
      else: look, source: "the kernel says, without names and drivers")
    if options.json {
      if device != nil, let only = checks.first { print(JSON.pretty(only)) } else { print(JSON.pretty(checks)) }
    } else if device != nil {
      print(checks.map { CheckPage.text($0, style: options.style) }.joined(separator: "\n"), terminator: "")
    } else {
      print(CheckPage.table(checks, legend: !options.noLegend, style: options.style), terminator: "")
    }
    if device != nil, checks.contains(where: { !$0.isolatable }) { throw ExitStatus.refused.code }
  }

  /// The daemon knows the configuration and the drivers; without it we look for ourselves.
  private func look() throws -> [IsolationCheck] {
    var address: PCIAddress?
    if let device {
      address = PCIAddress(device)
      guard address != nil else {
        writeError("bulkheadctl: \"\(device)\" is no address, and bulkheadd is not there to tell names")
        throw ExitStatus.noSuchDevice.code
      }
    }
    do throws(Failure) { return try IsolationInspector().checks(of: address) } catch {
      writeError("bulkheadctl: \(error)")
      throw (error.code == "pci-no-device" ? ExitStatus.noSuchDevice : .failed).code
    }
  }
}
