import CBulkhead
import Glibc
import Platform
import Protocol

/// A TAP interface with all of its queues.
///
/// It lives as long as its files, or until it is deleted once it was made persistent: whoever holds them keeps name,
/// index, addresses, routes and bridge membership, and a driver that dies takes away no more than the carrier.
public final class TAPInterface {
  /// The kernel's limit (MAX_TAP_QUEUES).
  public static let maximumQueues = 256

  public let name: String
  public let queues: [TAPQueue]

  /// Makes an interface in the calling thread's namespace; it is down and has no carrier. Needs CAP_NET_ADMIN.
  ///
  /// - Parameters:
  ///   - name: an interface of that name must not exist.
  ///   - queues: more than one needs a kernel with multi-queue TAPs (Linux 3.8).
  ///   - path: the file that makes interfaces.
  /// - Throws: `tap-open`, `tap-features`, `tap-interface`, `tap-header`, `tap-carrier`. Nothing stays then.
  public convenience init(name: InterfaceName, queues count: Int = 1, path: String = "/dev/net/tun") throws(Failure) {
    try self.init(name, count, path, .exclusive)
  }

  /// Adds files to a persistent interface whose files were closed, or are about to be. It loses its carrier, and keeps
  /// everything else. The calling thread is in its namespace; one of its user, or CAP_NET_ADMIN.
  ///
  /// The kernel makes the interface if it is not there: look before.
  /// - Throws: as ``init(name:queues:path:)``; EINVAL: it is something else, or was made for one queue only.
  public convenience init(
    reattaching name: InterfaceName, queues count: Int = 1, path: String = "/dev/net/tun"
  ) throws(Failure) {
    try self.init(name, count, path, [])
  }

  private init(_ name: InterfaceName, _ count: Int, _ path: String, _ extra: TAPFlags) throws(Failure) {
    precondition(count >= 1 && count <= TAPInterface.maximumQueues, "a TAP has 1 to 256 queues")
    // Whatever is thrown closes the files that were opened so far, and with them the interface goes.
    var queues = [try TAPQueue(path: path, name: name, extra: extra)]
    guard count == 1 || queues[0].flags.contains(.multiQueue) else {
      throw Failure("tap-features", "make \(name) with \(count) queues: the kernel's TAP has one")
    }
    while queues.count < count { queues.append(try TAPQueue(path: path, name: name, extra: [])) }
    for queue in queues {
      try queue.setHeaderSize(NetworkClass.headerSize)
      try queue.setLittleEndian()
    }
    // A kernel that does not know IFF_NO_CARRIER switches it on with each queue.
    try queues[0].setCarrier(false)
    self.name = queues[0].name
    self.queues = queues
  }

  /// Takes over queues that another process has made.
  ///
  /// - Parameters:
  ///   - count: how many queues are wanted; nil: as many as there are. Those that are missing are added under the
  ///     interface's present name: the calling thread is in its namespace then.
  /// - Throws: `tap-adopt` also when they belong to different interfaces; as ``init(reattaching:queues:path:)``.
  public init(
    adopting queues: [TAPQueue], queues count: Int? = nil, path: String = "/dev/net/tun"
  ) throws(Failure) {
    precondition(count ?? 1 <= TAPInterface.maximumQueues, "a TAP has 256 queues at most")
    guard let first = queues.first else { throw Failure("tap-adopt", "take over an interface without a queue") }
    for queue in queues where queue.name != first.name {
      throw Failure("tap-adopt", "take over \(first.name) with a queue of \(queue.name)")
    }
    for queue in queues {
      guard try queue.headerSize() == NetworkClass.headerSize else {
        throw Failure("tap-adopt", "take over \(first.name): its headers have not \(NetworkClass.headerSize) bytes")
      }
    }
    name = first.name
    var all = queues
    while all.count < count ?? 0 { all.append(try TAPQueue(path: path, name: InterfaceName(first.name), extra: [])) }
    self.queues = all
  }

  /// What the driver's side can be given unfinished.
  /// - Throws: `tap-offload`.
  public func setOffloads(_ offloads: TAPOffloads) throws(Failure) { try queues[0].setOffloads(offloads) }

  /// - Throws: `tap-carrier`.
  public func setCarrier(_ isOn: Bool) throws(Failure) { try queues[0].setCarrier(isOn) }

  /// Whether the interface stays when the last file of it is closed, by whatever cause; then it has no carrier.
  /// - Throws: `tap-persistent`.
  public func setPersistent(_ isOn: Bool) throws(Failure) {
    let result = bh_tap_set_persistent(queues[0].file, isOn ? 1 : 0)
    try checked(
      result, "tap-persistent", "make \(name) \(isOn ? "" : "not ")outlive its files", hint: TAPHint.gone(-result))
  }

  /// The network namespace in which the interface is now; it can be moved (`ip link set NAME netns`).
  /// - Throws: `tap-namespace`; EBADFD: the interface was deleted.
  public func namespace() throws(Failure) -> Descriptor {
    let result = bh_tap_get_namespace(queues[0].file)
    try checked(result, "tap-namespace", "ask where \(name) is", hint: TAPHint.gone(-result))
    return Descriptor(owning: result)
  }

  /// What the interface is called now; it can be renamed.
  /// - Throws: `tap-name`; EBADFD: the interface was deleted.
  public func presentName() throws(Failure) -> String {
    var bytes = [CChar](repeating: 0, count: Int(BH_TAP_NAME_SIZE))
    var flags: UInt16 = 0
    let result = bh_tap_get_interface(queues[0].file, &bytes, &flags)
    try checked(result, "tap-name", "ask what \(name) is called", hint: TAPHint.gone(-result))
    return TAPQueue.text(bytes)
  }

  /// Bytes for each queue; see ``TAPQueue/setSendBuffer(_:)``.
  /// - Throws: `tap-send-buffer`.
  public func setSendBuffer(_ bytes: Int) throws(Failure) {
    for queue in queues { try queue.setSendBuffer(bytes) }
  }

  /// Spreads frames over the first `count` queues only. At least one stays: without any, the interface would have no way
  /// to say that it has carrier.
  /// - Throws: `tap-queue`.
  public func useQueues(_ count: Int) throws(Failure) {
    precondition(count >= 1 && count <= queues.count, "there are \(queues.count) queues")
    for (index, queue) in queues.enumerated() {
      if index < count { try queue.attach() } else { try queue.detach() }
    }
  }

  /// Gives all files back, and with them the interface unless another process has them too.
  public func close() {
    for queue in queues { queue.close() }
  }
}
