import CBulkhead

/// The register accesses of a backing that has no memory to map: an emulated device, or registers that policy does not
/// let a driver touch directly. Plain C functions, so that a BAR holds nothing that is counted.
public struct BarMediator {
  public typealias Read = @convention(c) (_ context: UnsafeMutableRawPointer?, _ offset: Int, _ width: Int) -> UInt64
  public typealias Write =
    @convention(c) (_ context: UnsafeMutableRawPointer?, _ offset: Int, _ width: Int, _ value: UInt64) -> Void

  public var context: UnsafeMutableRawPointer?
  public var read: Read
  public var write: Write

  public init(context: UnsafeMutableRawPointer?, read: @escaping Read, write: @escaping Write) {
    self.context = context
    self.read = read
    self.write = write
  }
}

/// A window into a device's registers: the granted ranges of one BAR.
///
/// Each access happens exactly once, at its width, and must lie in a granted range; anything else is a programmer's
/// error and ends the process. It is a plain value: copying one counts no references. The memory it shows lives as long
/// as the process, or as long as a test keeps it.
public struct Bar {
  /// One granted range.
  public struct Window {
    /// Where the range begins in the BAR, in bytes.
    public var offset: Int
    /// Bytes.
    public var length: Int
    /// Where it is mapped; nil where accesses are mediated.
    public var base: UnsafeMutableRawPointer?

    public init(offset: Int, length: Int, base: UnsafeMutableRawPointer?) {
      self.offset = offset
      self.length = length
      self.base = base
    }
  }

  private let windows: UnsafeMutablePointer<Window>
  private let count: Int
  private let mediator: UnsafeMutablePointer<BarMediator>?
  /// The word that says when an emulated device wants its bell; nil: a real device.
  private let bellWanted: UnsafeMutableRawPointer?
  private let bell: Int32
  /// Registers that an emulated device wants to access itself; nil: a real device.
  private let trapped: TrappedRegisters?

  /// A BAR with the given windows; a window without memory needs a mediator. The small table is never freed.
  /// - Parameter bell: the eventfd that tells an emulated device of a write, if ``DriverFile/bellWantedOffset`` says that
  ///   it has to be told.
  public init(windows: [Window], mediator: BarMediator? = nil, bell: Int32? = nil) {
    precondition(mediator != nil || windows.allSatisfy { $0.base != nil }, "a window has memory or a mediator")
    self.windows = .allocate(capacity: max(1, windows.count))
    self.windows.initialize(from: windows, count: windows.count)
    count = windows.count
    self.mediator = mediator.map { value in
      let place = UnsafeMutablePointer<BarMediator>.allocate(capacity: 1)
      place.initialize(to: value)
      return place
    }
    let place = windows.first { $0.holds(DriverFile.bellWantedOffset, 4) }.flatMap { window in
      window.base.map { $0 + (DriverFile.bellWantedOffset - window.offset) }
    }
    bellWanted = bell == nil ? nil : place
    self.bell = bell ?? -1
    trapped = bellWanted.map { TrappedRegisters(base: $0 - DriverFile.bellWantedOffset) }
  }

  /// The write must be seen before the word is read: the device sets it, and then looks at its registers once more.
  @inline(__always)
  private func ring(_ offset: Int) {
    guard let bellWanted else { return }
    bh_full_fence()
    if bh_mmio_read32(bellWanted) >> UInt32(offset >> 2 & 31) & 1 != 0 { EventDescriptor.signal(bell) }
  }

  /// Whether `width` bytes at `offset` lie in one granted range.
  public func covers(_ offset: Int, _ width: Int) -> Bool {
    for index in 0..<count where windows[index].holds(offset, width) { return true }
    return false
  }

  @inline(__always)
  private func place(_ offset: Int, _ width: Int) -> UnsafeMutableRawPointer? {
    for index in 0..<count where windows[index].holds(offset, width) {
      return windows[index].base.map { $0 + (offset - windows[index].offset) }
    }
    preconditionFailure("register access outside the granted BAR ranges")
  }

  public func read(_ register: Register<UInt8>) -> UInt8 {
    guard let place = place(register.offset, 1) else { return UInt8(truncatingIfNeeded: mediated(register.offset, 1)) }
    return bh_mmio_read8(place)
  }

  public func read(_ register: Register<UInt16>) -> UInt16 {
    guard let place = place(register.offset, 2) else { return UInt16(truncatingIfNeeded: mediated(register.offset, 2)) }
    return bh_mmio_read16(place)
  }

  public func read(_ register: Register<UInt32>) -> UInt32 {
    guard let place = place(register.offset, 4) else { return UInt32(truncatingIfNeeded: mediated(register.offset, 4)) }
    if let trapped { return read(register.offset, trapped, place) }
    return bh_mmio_read32(place)
  }

  public func read(_ register: Register<UInt64>) -> UInt64 {
    guard let place = place(register.offset, 8) else { return mediated(register.offset, 8) }
    return bh_mmio_read64(place)
  }

  public func write(_ register: Register<UInt8>, _ value: UInt8) {
    guard let place = place(register.offset, 1) else { return mediated(register.offset, 1, UInt64(value)) }
    bh_mmio_write8(place, value)
    ring(register.offset)
  }

  public func write(_ register: Register<UInt16>, _ value: UInt16) {
    guard let place = place(register.offset, 2) else { return mediated(register.offset, 2, UInt64(value)) }
    bh_mmio_write16(place, value)
    ring(register.offset)
  }

  public func write(_ register: Register<UInt32>, _ value: UInt32) {
    guard let place = place(register.offset, 4) else { return mediated(register.offset, 4, UInt64(value)) }
    if let trapped, post(register.offset, value, trapped) { return }
    bh_mmio_write32(place, value)
    ring(register.offset)
  }

  public func write(_ register: Register<UInt64>, _ value: UInt64) {
    guard let place = place(register.offset, 8) else { return mediated(register.offset, 8, value) }
    bh_mmio_write64(place, value)
    ring(register.offset)
  }

  /// A read from an emulated device; it comes after the writes that were posted.
  @inline(never)
  private func read(_ offset: Int, _ trapped: TrappedRegisters, _ place: UnsafeMutableRawPointer) -> UInt32 {
    guard trapped.contains(offset) else {
      trapped.settle()
      return bh_mmio_read32(place)
    }
    trapped.post(offset, write: nil)
    ring(RegisterTrap.request)
    return trapped.result
  }

  /// Posts a write if the device performs it itself; otherwise waits until it may be made in order.
  @inline(never)
  private func post(_ offset: Int, _ value: UInt32, _ trapped: TrappedRegisters) -> Bool {
    guard trapped.contains(offset) else {
      trapped.settle()
      return false
    }
    trapped.post(offset, write: value)
    ring(RegisterTrap.request)
    return true
  }

  private func mediated(_ offset: Int, _ width: Int) -> UInt64 {
    guard let mediator else { preconditionFailure("a window without memory or mediator") }
    return mediator.pointee.read(mediator.pointee.context, offset, width)
  }

  private func mediated(_ offset: Int, _ width: Int, _ value: UInt64) {
    guard let mediator else { preconditionFailure("a window without memory or mediator") }
    mediator.pointee.write(mediator.pointee.context, offset, width, value)
  }
}

extension Bar.Window {
  @inline(__always)
  fileprivate func holds(_ offset: Int, _ width: Int) -> Bool {
    offset >= self.offset && offset - self.offset <= length - width
  }
}
