import PCI

/// One DMA fault, as a line of the kernel's log tells of it.
public struct DMAFault: Equatable, Sendable {
  /// Who asked: a PCI function where the log says the segment, else a requester id in any segment.
  public enum Requester: Equatable, Sendable {
    case address(PCIAddress)
    /// Bus, device, function without a segment; attributed to any known device that has these.
    case anySegment(PCIAddress)
    /// The log no longer says: the device of the line before.
    case previous
  }

  public var requester: Requester
  /// `read`, `write`, `interrupt` or `access`.
  public var access: String
  /// The IOVA; nil where the log does not tell.
  public var address: UInt64?
  /// In the kernel's words; may be empty.
  public var reason: String
  /// How many faults the line stands for: more than one where the kernel says how many it left out.
  public var count = 1
  /// The line.
  public var text: String

  public func concerns(_ device: PCIAddress) -> Bool {
    switch requester {
    case .address(let address): return address == device
    case .anySegment(let address):
      return (address.bus, address.device, address.function) == (device.bus, device.device, device.function)
    case .previous: return false
    }
  }
}
