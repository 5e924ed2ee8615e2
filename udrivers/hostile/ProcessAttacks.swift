import CBulkhead
import DriverKit
import Glibc
import NVMe

extension HostileDriver {
  private enum HangKind: String, CaseIterable {
    case sleep, spin
  }

  /// Answers nothing any more: asleep, or using all the processor it gets.
  func hang() {
    Log.warning("hang")
    let sleeps = options["kind"] != HangKind.spin.rawValue
    while true { if sleeps { _ = bh_ppoll(nil, 0, 1_000_000_000) } }
  }

  /// A store to an address that is not mapped.
  func crash() -> Never {
    Log.warning("crash")
    bh_mmio_write32(UnsafeMutableRawPointer(bitPattern: 0x10)!, 1)
    _exit(139)
  }

  /// Admin commands without end, each with its interrupt.
  func storm() throws(DriverFailure) {
    guard let controller = nvme.controller else { return }
    let end = monotonicNow() + Nanoseconds(try options.number("seconds", default: 5, in: 1...3600)) * 1_000_000_000
    var commands: UInt64 = 0
    Log.warning("interrupts: storm")
    while monotonicNow() < end, !device.isStopping {
      // There is no such command to abort: nothing happens but the completion.
      while controller.submitUnattended(.abort(.max, on: 1)) { commands += 1 }
      controller.pollAdmin()
      if commands % 1024 < 16 { try device.sleep(1) }
    }
    Log.warning("interrupts: \(commands) commands")
  }
}
