import CBulkhead
import Glibc
import Platform

/// A block device or a file, past the page cache, through the kernel's asynchronous I/O.
public final class FileTarget: Target {
  /// `struct iocb` of linux/aio_abi.h, little endian.
  private struct ControlBlock {
    var data: UInt64 = 0
    var key: UInt32 = 0
    var writeFlags: Int32 = 0
    var opcode: UInt16 = 0
    var priority: Int16 = 0
    var file: UInt32 = 0
    var buffer: UInt64 = 0
    var length: UInt64 = 0
    var offset: Int64 = 0
    var reserved: UInt64 = 0
    /// 1: tell the event file.
    var flags: UInt32 = 1
    var eventFile: UInt32 = 0
  }

  private struct Event {
    var data: UInt64 = 0
    var object: UInt64 = 0
    var result: Int64 = 0
    var result2: Int64 = 0
  }

  // O_DIRECT, which <fcntl.h> shows to GNU programs only.
  #if arch(arm64)
    private static let direct: Int32 = 0o200000
  #else
    private static let direct: Int32 = 0o40000
  #endif
  private static let dataSync: Int32 = 2  // RWF_DSYNC
  private let file: Descriptor
  private let events: Descriptor
  private var context: UInt = 0
  private let blocks: UnsafeMutablePointer<ControlBlock>
  private var lengths: [Int]
  private var refused: [(slot: Int, error: UInt32)] = []
  public let size: Int
  public let blockSize: Int
  public let disconnects = 0
  public let kinds: Set<Operation.Kind> = [.read, .write, .flush]
  public var isReady: Bool { true }

  /// - Parameters:
  ///   - size: bytes that a regular file is made to have.
  ///   - depth: operations at a time.
  /// - Throws: ``Failure`` `campaign-target`.
  public init(path: String, size: Int?, blockSize: Int = 4096, depth: Int) throws(Failure) {
    let number = open(path, O_RDWR | Self.direct | O_CLOEXEC)
    file = Descriptor(owning: try checked(number < 0 ? -errno : number, "campaign-target", "open \(path)"))
    events = try EventDescriptor.make()
    blocks = .allocate(capacity: depth)
    blocks.initialize(repeating: ControlBlock(), count: depth)
    lengths = Array(repeating: 0, count: depth)
    var status = stat()
    fstat(file.number, &status)
    if let size, status.st_mode & S_IFMT == S_IFREG, status.st_size < size { ftruncate(file.number, size) }
    self.size = Int(lseek(file.number, 0, SEEK_END))
    self.blockSize = blockSize
    var made: UInt = 0
    let result = withUnsafeMutablePointer(to: &made) {
      bh_syscall(Int(SYS_io_setup), UInt(depth), UInt(bitPattern: $0), 0, 0, 0, 0)
    }
    try checked(result, "campaign-target", "set up asynchronous I/O")
    context = made
  }

  deinit {
    _ = bh_syscall(Int(SYS_io_destroy), context, 0, 0, 0, 0, 0)
    blocks.deallocate()
  }

  public func submit(_ operation: Operation, memory: UnsafeMutableRawPointer, slot: Int) {
    var block = ControlBlock()
    block.data = UInt64(slot)
    block.file = UInt32(file.number)
    block.eventFile = UInt32(events.number)
    block.offset = Int64(operation.first * sectorSize)
    block.buffer = UInt64(UInt(bitPattern: memory))
    block.length = UInt64(operation.count * sectorSize)
    switch operation.kind {
    case .read: block.opcode = 0
    case .write:
      block.opcode = 1
      if operation.forceUnitAccess { block.writeFlags = Self.dataSync }
    default:
      block.opcode = 3
      (block.buffer, block.length, block.offset) = (0, 0, 0)
    }
    lengths[slot] = Int(block.length)
    blocks[slot] = block
    var pointer = UInt(bitPattern: blocks + slot)
    let result = withUnsafeMutablePointer(to: &pointer) {
      bh_syscall(Int(SYS_io_submit), context, 1, UInt(bitPattern: $0), 0, 0, 0)
    }
    if result != 1 { refused.append((slot, UInt32(result < 0 ? -result : Int(EAGAIN)))) }
  }

  public func addFiles(to list: inout [pollfd]) {
    list.append(pollfd(fd: events.number, events: Int16(POLLIN), revents: 0))
  }

  public func collect(_ handler: (Int, Outcome) -> Void) {
    for (slot, error) in refused { handler(slot, .failed(error)) }
    refused = []
    EventDescriptor.drain(events.number)
    var found = [Event](repeating: Event(), count: 64)
    while true {
      var none = timespec()
      let count = found.withUnsafeMutableBufferPointer { buffer in
        withUnsafeMutablePointer(to: &none) {
          bh_syscall(
            Int(SYS_io_getevents), context, 0, 64, UInt(bitPattern: buffer.baseAddress!), UInt(bitPattern: $0), 0)
        }
      }
      guard count > 0 else { return }
      for event in found.prefix(count) {
        let slot = Int(event.data)
        if event.result == Int64(lengths[slot]) {
          handler(slot, .done)
        } else {
          handler(slot, .failed(event.result < 0 ? UInt32(-event.result) : UInt32(EIO)))
        }
      }
    }
  }
}
