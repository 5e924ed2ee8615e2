import VFIO

/// An access that the software IOMMU stopped. Nothing was transferred.
public struct EmulatedFault: Sendable, Equatable, CustomStringConvertible {
  public enum Reason: String, Sendable {
    /// No byte of it lies in an arena.
    case outside
    /// It begins in an arena and leaves it.
    case straddles
    /// It wraps around the end of the address space.
    case overflow
    /// The arena is not open for this direction.
    case denied
    /// Bus mastering is off.
    case busMasterOff = "bus-master-off"
  }

  public var reason: Reason
  /// The address the device put on the bus, and how many bytes it wanted.
  public var address: UInt64
  public var length: Int
  public var access: DMAAccess
  /// Whose doing: the submission queue, of which 0 is the admin queue; of a network controller 0 is receive and 1 transmit.
  /// Nil for an access by no command.
  public var queue: UInt16?
  /// The command's identifier, or the number of the descriptor, if there is one.
  public var command: UInt16?

  public var description: String {
    var text =
      "\(access.contains(.deviceWrites) ? "write" : "read") of \(length) bytes at 0x\(String(address, radix: 16))"
    text += ": \(reason.rawValue)"
    if let queue { text += ", queue \(queue)" }
    if let command { text += ", command \(command)" }
    return text
  }
}
