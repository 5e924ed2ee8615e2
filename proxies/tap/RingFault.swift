import Protocol
import Virtqueue

/// What a driver wrote into a ring that ends its service: vhost-net stops the ring for it as well.
package enum RingFault: Error, Equatable {
  case ring(VirtqueueError)
  /// A descriptor that names something outside the arena.
  case outside(address: UInt64, length: UInt32)
  /// Memory to be read where frames are to be written, or the other way round.
  case wrongDirection(NetworkClass.Direction)
  /// A buffer that no frame fits into. One of no bytes would be filled again and again: readv(2) takes no frame for it.
  case tooSmall(bytes: Int)

  package var violation: Violation {
    switch self {
    case .ring(.indexJump): .availIndexInvalid
    case .ring, .outside, .wrongDirection, .tooSmall: .descriptorInvalid
    }
  }

  var detail: String {
    switch self {
    case .ring(.indexJump(let distance)): "the available index went \(distance) entries ahead"
    case .ring(.indexOutOfRange(let index)): "descriptor \(index) is outside the table"
    case .ring(.chainTooLong): "a chain of more than \(ChainSource.maximumParts) descriptors, or one that does not end"
    case .ring(.indirect): "an indirect descriptor"
    case .outside(let address, let length): "\(length) bytes at 0x\(String(address, radix: 16)) are not in the arena"
    case .tooSmall(let bytes): "a buffer of \(bytes) bytes for a frame and its header"
    case .wrongDirection(.outbound): "a buffer for a frame that is not to be written"
    case .wrongDirection(.inbound): "a frame that is not to be read"
    }
  }
}
