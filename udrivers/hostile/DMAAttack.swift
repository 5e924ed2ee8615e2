import DriverKit
import NVMe

extension HostileDriver {
  private enum WriteKind: String, CaseIterable {
    /// Identify data go there.
    case identify
    /// The admin completion queue is there.
    case queue
  }

  private func target() throws(DriverFailure) -> UInt64 {
    // An address outside every arena, where the lab keeps ordinary memory.
    try options.number("address", default: 0x100_0000)
  }

  private func theController() throws(DriverFailure) -> Controller {
    guard let controller = nvme.controller else { throw DriverFailure(.unsupported, "no controller") }
    return controller
  }

  /// 4096 bytes of identify data, or a completion queue, at the address.
  func writeByDMA() throws(DriverFailure) {
    let address = try target()
    let controller = try theController()
    Log.warning("dma-write: aiming at 0x\(String(address, radix: 16))")
    switch try kind(or: WriteKind.identify) {
    case .identify: report("dma-write", controller, .identify(.controller, to: address))
    case .queue:
      try controller.disable()
      try controller.enable(completionAddress: address)
      let bait = try device.arena.allocate(4096, for: "bait")
      _ = controller.submitUnattended(.identify(.controller, to: bait.address))
      try device.sleep(500_000_000)
      Log.warning("dma-write: the controller was told to complete there")
    }
  }

  /// Set Features, Timestamp (0Eh, NVMe 2.0 section 5.27.1.10) makes the controller read 8 bytes; Get Features shows
  /// what it got.
  func readByDMA() throws(DriverFailure) {
    let address = try target()
    let controller = try theController()
    Log.warning("dma-read: aiming at 0x\(String(address, radix: 16))")
    var command = SubmissionEntry()
    command.opcode = AdminOpcode.setFeatures.rawValue
    command.dword10 = 0x0e
    command.prp1 = address
    report("dma-read", controller, command)
    let page = try device.arena.allocate(4096, for: "loot")
    command.opcode = 0x0a
    command.prp1 = page.address
    report("dma-read: get features", controller, command)
    let value = page.pointer.load(as: UInt64.self) & 0xffff_ffff_ffff
    Log.warning("dma-read: the controller has 0x\(String(value, radix: 16))")
  }

  private func report(_ name: String, _ controller: Controller, _ command: SubmissionEntry) {
    do throws(DriverFailure) {
      try controller.execute(command, name)
      Log.warning("\(name): the controller reports success")
    } catch { Log.warning("\(name): \(error)") }
  }
}
