import CBulkhead
import Platform
import Protocol

/// An emulated device as an administrator asks for it.
///
/// As text: `nvme,file=disk.img,size=64M,lba=4096,misbehave=lost-interrupt:every=50`, or `e1000e,wire=bhw0`. See
/// ``init(parsing:)``.
public struct EmulationOptions: Sendable, Equatable {
  /// What is emulated.
  public enum Model: String, Sendable, CaseIterable {
    /// A disk controller, NVMe 1.4.
    case nvme
    /// A network controller, the Intel 82574L.
    case e1000e
  }

  public var model = Model.nvme
  /// What the administrator calls it; nothing the device knows.
  public var name: String?
  /// The backing file, made if it is not there; nil: memory, which is gone with the last process that has it open.
  public var file: String?
  /// Bytes of each namespace. Nil: the file's size, shared by the namespaces; 64 MiB for memory.
  public var size: Int?
  /// Bytes of a logical block: 512 or 4096.
  public var blockSize = 512
  /// 1...16. They share the file, one behind the other.
  public var namespaces = 1
  /// I/O queue pairs, 1...16.
  public var queues = 4
  /// The most entries of a queue, 2...4096.
  public var queueEntries = 1024
  /// MSI-X vectors, 1...32; 1...5 of a network controller.
  public var vectors = 8
  /// A volatile write cache.
  public var cache = true
  /// Whether unflushed writes are remembered so that a power loss can take them. Costs a read of the old contents for
  /// each first write to a block after a flush.
  public var journal = false
  /// Blocks that are never torn by a power loss (AWUPF + 1), 1...65536.
  public var atomicBlocks = 1
  public var readOnly = false
  /// Whether a flush waits for the disk that holds the file.
  public var sync = true
  /// How long the controller goes on looking after the last work before it wants the bell, in nanoseconds. 0: not at all.
  public var spin: Nanoseconds = 0
  /// Of the dice of misbehaviours.
  public var seed: UInt64 = 1
  /// At most 20 printable characters.
  public var serial = "EMU0001"
  /// The PCI address it claims to have.
  public var address = "ffff:00:00.0"
  public var misbehaviours: [Misbehaviour] = []
  /// The interface that is the other end of a network controller's cable; nil: nothing is connected.
  public var wire: String?
  /// A network controller's address in its NVM; nil: one of its own for each ``address``.
  public var hardwareAddress: HardwareAddress?
  /// Whether there is a link where there is a wire.
  public var link = true

  public init(_ model: Model = .nvme) {
    self.model = model
    if model == .e1000e { vectors = E1000ECause.vectorCount }
  }

  static let defaultSize = 64 << 20
  static let maximumSize = 1 << 46
}

extension EmulationOptions {
  /// Opens what holds the blocks: the file, made and lengthened where that is needed, or a memfd. An exclusive lock is on
  /// the file (a shared one if it is read-only) as long as it is open in any process.
  ///
  /// The medium can be handed to another process, with ``textWithoutFile``, and outlives it.
  /// - Throws: `emulated-image`, `memfd`.
  public func openMedium() throws(Failure) -> Descriptor {
    precondition(model == .nvme, "the medium of a network controller is its wire")
    guard let file else {
      let size = (size ?? Self.defaultSize) * namespaces
      return Descriptor(
        owning: try checked(
          bh_memfd_sealed("bulkhead-emulated-disk", UInt64(size)), "memfd", "create a disk of \(size) bytes"))
    }
    let step = "use \(file) as an emulated disk"
    let descriptor = Descriptor(owning: try checked(bh_image_open(file, readOnly ? 1 : 0), "emulated-image", step))
    let found = Int(try checked(bh_image_size(descriptor.number), "emulated-image", step, hint: "not a regular file"))
    try checked(
      bh_image_lock(descriptor.number, readOnly ? 1 : 0), "emulated-image", step, hint: "somebody else uses it")
    if let size, found < size * namespaces, !readOnly {
      try checked(bh_image_resize(descriptor.number, Int64(size * namespaces)), "emulated-image", step)
    }
    _ = try namespaceSize(of: descriptor.number)
    return descriptor
  }

  /// How large each namespace on a medium is, in bytes.
  /// - Throws: `emulated-image` for a medium that is too small.
  func namespaceSize(of medium: Int32) throws(Failure) -> Int {
    let step = "use \(file ?? "the medium") as an emulated disk"
    let found = Int(try checked(bh_image_size(medium), "emulated-image", step, hint: "not a regular file"))
    guard let size else {
      let each = found / namespaces / blockSize * blockSize
      guard each > 0 else {
        throw Failure("emulated-image", "\(step): it is too small", hint: "say size=, such as size=64M")
      }
      return each
    }
    guard found / namespaces >= size else {
      throw Failure("emulated-image", "\(step): it has \(found) bytes, \(size * namespaces) are wanted")
    }
    return size
  }
}
