import CBulkhead
import Glibc
import Platform

/// The kernel's vhost-net, or what stands for it in a test.
public protocol VhostInterface: AnyObject {
  /// What it offers, into `features`; 0 or -errno.
  func getFeatures(_ features: inout VirtioNetFeatures) -> Int32
  /// A value of at least 0, or -errno.
  func perform(_ call: VhostCall) -> Int32
  /// Lets go of everything, at once. May be called twice.
  func close()
}

/// An open `/dev/vhost-net`: one pair of rings.
public final class VhostDevice: VhostInterface {
  private var file: Int32

  /// A file that was opened by somebody who may.
  public init(owning descriptor: consuming Descriptor) { file = descriptor.release() }

  /// - Throws: `vhost-open`.
  public convenience init(path: String = "/dev/vhost-net") throws(Failure) {
    let result = bh_vhost_open(path)
    self.init(owning: Descriptor(owning: try checked(result, "vhost-open", "open \(path)", hint: Self.hint(-result))))
  }

  deinit { close() }

  public func close() {
    guard file >= 0 else { return }
    Descriptor.close(file)
    file = -1
  }

  private static func hint(_ errno: Int32) -> String {
    switch errno {
    case ENOENT, ENODEV: "load the module: modprobe vhost_net; without it the broker moves frames itself"
    case EACCES, EPERM: "the file is there, but not for this user or control group"
    default: ""
    }
  }

  public func getFeatures(_ features: inout VirtioNetFeatures) -> Int32 {
    var raw: UInt64 = 0
    let result = bh_vhost_get_features(file, &raw)
    features = VirtioNetFeatures(rawValue: raw)
    return result
  }

  public func perform(_ call: VhostCall) -> Int32 {
    switch call {
    case .setOwner: bh_vhost_set_owner(file)
    case .setFeatures(let features): bh_vhost_set_features(file, features.rawValue)
    case .setMemory(let memory): bh_vhost_set_memory(file, memory.table, UInt32(memory.regions.count))
    case .setRingSize(let ring, let size): bh_vhost_set_ring_size(file, ring, size)
    case .setRingBase(let ring, let index): bh_vhost_set_ring_base(file, ring, UInt32(index))
    case .setRingAddress(let ring, let address):
      bh_vhost_set_ring_address(file, ring, address.descriptors, address.avail, address.used)
    case .setKick(let ring, let event): bh_vhost_set_kick(file, ring, event ?? -1)
    case .setCall(let ring, let event): bh_vhost_set_call(file, ring, event ?? -1)
    case .setError(let ring, let event): bh_vhost_set_error(file, ring, event ?? -1)
    case .setBusyPoll(let ring, let microseconds): bh_vhost_set_busy_poll(file, ring, microseconds)
    case .setBackend(let ring, let tap): bh_vhost_set_backend(file, ring, tap ?? -1)
    case .getRingBase(let ring): bh_vhost_get_ring_base(file, ring)
    }
  }
}
