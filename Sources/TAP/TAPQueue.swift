import CBulkhead
import Glibc
import Platform

/// One open file of a TAP interface: one of its queues, or the only one.
///
/// The interface exists as long as one of its files is open in any process, attached or not.
public final class TAPQueue {
  /// What the interface was called when this file was attached; it may have been renamed.
  public let name: String
  public let flags: TAPFlags
  /// The file number; -1 after ``close()``. Non-blocking.
  public private(set) var file: Int32
  /// Whether the kernel gives it frames.
  public private(set) var isAttached: Bool

  /// Makes an interface in the calling thread's namespace, or adds a queue to one.
  /// - Throws: `tap-open`, `tap-features`, `tap-interface`.
  init(path: String, name: InterfaceName, extra: TAPFlags) throws(Failure) {
    let opened = bh_tap_open(path)
    let descriptor = Descriptor(
      owning: try checked(opened, "tap-open", "open \(path)", hint: TAPHint.open(-opened)))
    var known: UInt32 = 0
    let asked = bh_tap_features(descriptor.number, &known)
    try checked(asked, "tap-features", "ask \(path) what it can do", hint: TAPHint.gone(-asked))
    let flags = try TAPQueue.flags(known: TAPFlags(rawValue: UInt16(truncatingIfNeeded: known)))
    var bytes = TAPQueue.bytes(of: name)
    let result = bh_tap_set_interface(descriptor.number, &bytes, flags.union(extra).rawValue)
    try checked(result, "tap-interface", "make the interface \(name)", hint: TAPHint.interface(-result))
    self.name = TAPQueue.text(bytes)
    self.flags = flags
    isAttached = true
    file = descriptor.release()
  }

  /// Takes over a file that another process has made.
  /// - Throws: `tap-adopt`; EBADFD: it has no interface, or not any more.
  public init(adopting descriptor: consuming Descriptor) throws(Failure) {
    var bytes = [CChar](repeating: 0, count: Int(BH_TAP_NAME_SIZE))
    var raw: UInt16 = 0
    let result = bh_tap_get_interface(descriptor.number, &bytes, &raw)
    try checked(result, "tap-adopt", "ask file \(descriptor.number) for its interface", hint: TAPHint.gone(-result))
    // 0x1000 is no proof of IFF_NO_PI: here it also says that there is no filter (IFF_NOFILTER).
    var flags = TAPFlags(rawValue: raw)
    isAttached = flags.remove(.detachQueue) == nil
    guard flags.isSuperset(of: .required) else {
      throw Failure(
        "tap-adopt", "use \(TAPQueue.text(bytes)): it is not a TAP with virtio headers",
        hint: "flags 0x\(String(raw, radix: 16))")
    }
    try checked(bh_set_nonblocking(descriptor.number, 1), "tap-adopt", "make \(TAPQueue.text(bytes)) non-blocking")
    try checked(bh_set_cloexec(descriptor.number, 1), "tap-adopt", "make \(TAPQueue.text(bytes)) close-on-exec")
    name = TAPQueue.text(bytes)
    self.flags = flags
    file = descriptor.release()
  }

  deinit { close() }

  /// Gives the queue back. With the last one the interface goes.
  public func close() {
    guard file >= 0 else { return }
    Descriptor.close(file)
    file = -1
  }

  /// What to ask for, of what the kernel knows.
  static func flags(known: TAPFlags) throws(Failure) -> TAPFlags {
    let missing = TAPFlags.required.subtracting(known)
    guard missing.isEmpty else {
      throw Failure(
        "tap-features", "the kernel's TAP lacks 0x\(String(missing.rawValue, radix: 16))",
        hint: "virtio headers and plain Ethernet frames are needed")
    }
    return TAPFlags.required.union(TAPFlags.wished.intersection(known))
  }

  // MARK: Settings

  /// How long the header in front of each frame is, in bytes.
  /// - Throws: `tap-header`; EINVAL: fewer than 10.
  public func setHeaderSize(_ bytes: Int) throws(Failure) {
    let result = bh_tap_set_header_size(file, Int32(clamping: bytes))
    try checked(
      result, "tap-header", "set the header of \(name) to \(bytes) bytes", hint: TAPHint.gone(-result))
  }

  /// - Throws: `tap-header`.
  public func headerSize() throws(Failure) -> Int {
    var bytes: Int32 = 0
    let result = bh_tap_get_header_size(file, &bytes)
    try checked(result, "tap-header", "ask \(name) for its header's size", hint: TAPHint.gone(-result))
    return Int(bytes)
  }

  /// Headers are little-endian, as virtio 1 has them, on any machine.
  /// - Throws: `tap-header`.
  public func setLittleEndian() throws(Failure) {
    let result = bh_tap_set_little_endian(file, 1)
    try checked(result, "tap-header", "make the headers of \(name) little-endian", hint: TAPHint.gone(-result))
  }

  /// What this side can be given unfinished. It holds for all queues; what is not in it the kernel finishes itself.
  /// - Throws: `tap-offload`; EINVAL: the kernel does not know one of them, or they do not go together.
  public func setOffloads(_ offloads: TAPOffloads) throws(Failure) {
    let result = bh_tap_set_offload(file, UInt(offloads.rawValue))
    try checked(
      result, "tap-offload", "set the offloads of \(name) to 0x\(String(offloads.rawValue, radix: 16))",
      hint: TAPHint.offload(-result))
  }

  /// Whether the interface has carrier. It holds for all queues.
  /// - Throws: `tap-carrier`.
  public func setCarrier(_ isOn: Bool) throws(Failure) {
    let result = bh_tap_set_carrier(file, isOn ? 1 : 0)
    try checked(
      result, "tap-carrier", "switch the carrier of \(name) \(isOn ? "on" : "off")", hint: TAPHint.gone(-result))
  }

  /// How many bytes of frames from here may be under way in the kernel before it takes no more.
  /// - Throws: `tap-send-buffer`; EINVAL: not positive.
  public func setSendBuffer(_ bytes: Int) throws(Failure) {
    let result = bh_tap_set_send_buffer(file, Int32(clamping: bytes))
    try checked(
      result, "tap-send-buffer", "set the send buffer of \(name) to \(bytes) bytes", hint: TAPHint.gone(-result))
  }

  /// - Throws: `tap-send-buffer`.
  public func sendBuffer() throws(Failure) -> Int {
    var bytes: Int32 = 0
    let result = bh_tap_get_send_buffer(file, &bytes)
    try checked(result, "tap-send-buffer", "ask \(name) for its send buffer", hint: TAPHint.gone(-result))
    return Int(bytes)
  }

  /// Gives the kernel no frame and gets none, but keeps the interface. Does nothing if it is so already.
  /// - Throws: `tap-queue`; EINVAL: the interface was made for one queue only.
  public func detach() throws(Failure) {
    guard isAttached else { return }
    let result = bh_tap_set_queue(file, TAPFlags.detachQueue.rawValue)
    try checked(result, "tap-queue", "detach a queue of \(name)", hint: TAPHint.queue(-result))
    isAttached = false
  }

  /// - Throws: `tap-queue`; EINVAL, EBADFD: the interface is gone.
  public func attach() throws(Failure) {
    guard !isAttached else { return }
    let result = bh_tap_set_queue(file, TAPFlags.attachQueue.rawValue)
    try checked(result, "tap-queue", "attach a queue of \(name)", hint: TAPHint.queue(-result))
    isAttached = true
  }

  // MARK: Frames

  /// Takes one frame from the kernel, with its header. Returns its length in bytes, or -errno: EAGAIN when there is none;
  /// EBADFD when the interface is gone. The kernel cuts what does not fit, and does not say so: a frame that fills its
  /// room to the last byte is to be taken for cut.
  @inline(__always)
  public func receive(_ parts: UnsafePointer<bh_part>, count: Int) -> Int { bh_tap_receive(file, parts, count) }

  /// Gives one frame to the kernel, with its header. Returns its length in bytes, or -errno: EAGAIN when the send buffer
  /// is full, EIO when the interface is down, EINVAL when header and frame do not go together, EBADFD when it is gone.
  @inline(__always)
  public func send(_ parts: UnsafePointer<bh_part>, count: Int) -> Int { bh_tap_send(file, parts, count) }

  // MARK: Names

  static func bytes(of name: InterfaceName) -> [CChar] {
    var bytes = [CChar](repeating: 0, count: Int(BH_TAP_NAME_SIZE))
    for (index, byte) in name.description.utf8.enumerated() { bytes[index] = CChar(bitPattern: byte) }
    return bytes
  }

  /// What comes before the first zero.
  static func text(_ bytes: [CChar]) -> String {
    String(decoding: bytes.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
  }
}
