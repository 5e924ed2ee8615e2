/// One request to vhost-net (linux/vhost.h), as a value: the order in which they are made, and undone, is data.
public enum VhostCall: Sendable, Equatable {
  /// The kernel takes the calling process's memory as what addresses mean.
  case setOwner
  case setFeatures(VirtioNetFeatures)
  /// What descriptors may name. It replaces what was there.
  case setMemory(VhostMemory)
  case setRingSize(ring: UInt32, UInt32)
  case setRingBase(ring: UInt32, UInt16)
  case setRingAddress(ring: UInt32, VhostRingAddress)
  /// eventfds; `nil` takes one away.
  case setKick(ring: UInt32, Int32?)
  case setCall(ring: UInt32, Int32?)
  case setError(ring: UInt32, Int32?)
  /// Microseconds.
  case setBusyPoll(ring: UInt32, UInt32)
  /// The TAP's file; `nil` stops the ring.
  case setBackend(ring: UInt32, Int32?)
  case getRingBase(ring: UInt32)

  /// What is done for it, and the code of its failure.
  var step: (code: String, text: String) {
    switch self {
    case .setOwner: ("vhost-owner", "become the owner of vhost-net")
    case .setFeatures(let features):
      ("vhost-features", "set the features of vhost-net to 0x\(String(features.rawValue, radix: 16))")
    case .setMemory(let memory): ("vhost-memory", "give vhost-net \(memory.regions.count) regions of memory")
    case .setRingSize(let ring, let size): ("vhost-ring", "give ring \(ring) \(size) descriptors")
    case .setRingBase(let ring, let index): ("vhost-ring", "start ring \(ring) at \(index)")
    case .setRingAddress(let ring, _): ("vhost-ring", "place ring \(ring)")
    case .setKick(let ring, _): ("vhost-event", "set the kick of ring \(ring)")
    case .setCall(let ring, _): ("vhost-event", "set the call of ring \(ring)")
    case .setError(let ring, _): ("vhost-event", "set the error event of ring \(ring)")
    case .setBusyPoll(let ring, let time): ("vhost-ring", "let ring \(ring) poll for \(time) microseconds")
    case .setBackend(let ring, .some): ("vhost-backend", "connect ring \(ring) to the TAP")
    case .setBackend(let ring, nil): ("vhost-backend", "take ring \(ring) from the TAP")
    case .getRingBase(let ring): ("vhost-ring", "ask ring \(ring) where it is")
    }
  }
}

/// Where the three parts of a ring are in this process.
public struct VhostRingAddress: @unchecked Sendable, Equatable {
  public var descriptors: UnsafeRawPointer
  public var avail: UnsafeRawPointer
  public var used: UnsafeRawPointer
}
