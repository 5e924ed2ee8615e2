import CBulkhead
import Glibc

/// The driver's side of ``RegisterTrap``: accesses that an emulated device performs itself.
struct TrappedRegisters {
  /// After so long an access counts as lost, in nanoseconds. A real device's completion times out as well, and reads as
  /// all ones then (PCIe 4.0 section 2.8).
  private static let patience: Nanoseconds = 1_000_000_000
  /// Looks before the processor is given away: the device may need it.
  private static let looks = 1000

  /// Where BAR 0 begins.
  let base: UnsafeMutableRawPointer

  /// Whether the device performs accesses to the register at `offset`.
  @inline(__always)
  func contains(_ offset: Int) -> Bool {
    for index in 0..<RegisterTrap.rangeCount {
      let word = bh_mmio_read32(base + RegisterTrap.ranges + 4 * index)
      if RegisterTrap.range(word, contains: offset) { return true }
    }
    return false
  }

  @inline(__always)
  private var isBusy: Bool {
    let request = bh_mmio_read32(base + RegisterTrap.request)
    return request & RegisterTrap.isBusy != 0 && request != .max
  }

  /// Waits until the device has taken the last access. One that does not answer any more has no accesses to take.
  @inline(__always)
  func settle() {
    if isBusy { _ = wait() }
    bh_full_fence()
  }

  /// - Returns: false for an access that is lost.
  @inline(never)
  private func wait() -> Bool {
    for _ in 0..<Self.looks {
      guard isBusy else { return true }
      bh_cpu_relax()
    }
    let end = monotonicNow() + Self.patience
    while isBusy {
      guard monotonicNow() < end else {
        bh_mmio_write32(base + RegisterTrap.request, 0)
        return false
      }
      usleep(20)
    }
    return true
  }

  /// Hands an access to the device; the caller rings the bell for the word of the request.
  func post(_ offset: Int, write value: UInt32?) {
    settle()
    if let value { bh_mmio_write32(base + RegisterTrap.data, value) }
    bh_full_fence()
    let kind = value == nil ? RegisterTrap.isBusy : RegisterTrap.isBusy | RegisterTrap.isWrite
    bh_mmio_write32(base + RegisterTrap.request, kind | UInt32(truncatingIfNeeded: offset))
  }

  /// What the device has read; all ones if it has not.
  var result: UInt32 {
    guard !isBusy || wait() else { return .max }
    bh_dma_read_barrier()
    guard bh_mmio_read32(base + RegisterTrap.request) == 0 else { return .max }
    return bh_mmio_read32(base + RegisterTrap.data)
  }
}
