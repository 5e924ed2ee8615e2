import Platform

/// How a broker reaches a device: the one hardware seam.
///
/// ``VFIOBacking`` implements it over type1 VFIO; an emulated device stands behind it as well, and iommufd could, without
/// a change in the broker. A backing belongs to one thread.
///
/// The codes of its failures are its own (`vfio-`, `emulated-`), but for what a broker has to tell apart: those end in a
/// ``BackingFailure``, whatever the backing.
public protocol DeviceBacking: AnyObject {
  /// The device's PCI address, `0000:01:00.0`.
  var address: String { get }

  /// The file from which a driver maps BAR ranges, at ``MappableRange/fileOffset``. Owned by the backing.
  var deviceFile: Int32 { get }

  /// BARs 0...5 that exist, in order. Configuration space and the expansion ROM are not among them.
  var regions: [DeviceRegion] { get }

  /// The parts of a BAR that a driver may map: whole pages, none of which holds the MSI-X table or the pending bits.
  func mappableRanges(bar: Int) throws(Failure) -> [MappableRange]

  /// An eventfd that drivers signal after a write to a BAR, because the device sees nothing else; nil for one that does.
  var bell: Int32? { get }

  /// Called when the device was kept from memory that it was not given. A backing that does not hear of it never calls
  /// this: the kernel logs the faults of a real IOMMU.
  var onAccessFault: ((String) -> Void)? { get set }

  /// Reads configuration space at `offset`, which must be a multiple of the width.
  func readConfig(offset: Int, width: ConfigWidth) throws(Failure) -> UInt32

  /// Writes configuration space at `offset`, which must be a multiple of the width.
  func writeConfig(offset: Int, width: ConfigWidth, value: UInt32) throws(Failure)

  /// How many vectors of a kind the device has; 0 if it has none.
  func interruptCount(_ kind: InterruptKind) throws(Failure) -> Int

  /// Enables a kind of interrupt with vectors `0..<eventfds.count`; -1 leaves a vector unwired. Replaces earlier wiring.
  func wireInterrupts(_ kind: InterruptKind, eventfds: [Int32]) throws(Failure)

  /// Rewires one of the wired vectors; `nil` switches it off.
  func setInterrupt(_ kind: InterruptKind, vector: Int, eventfd: Int32?) throws(Failure)

  /// Switches off all vectors of a kind. Does nothing if none is wired.
  func disableInterrupts(_ kind: InterruptKind) throws(Failure)

  /// Gives the device access to an arena.
  func mapArena(_ arena: ArenaMapping) throws(Failure)

  /// Takes the arena at `iova` away from the device. The whole arena, or it is an error.
  /// - Throws: ``BackingFailure/unmap``: the device may still reach the memory.
  func unmapArena(iova: UInt64) throws(Failure)

  /// Lets the device start DMA, or not (PCI 3.0 section 6.2.2, command register bit 2).
  func setBusMaster(_ enabled: Bool) throws(Failure)

  /// Lets the device answer at its memory BARs (command register bit 1). An access to a mapped BAR of a device that does
  /// not is SIGBUS.
  func setMemoryEnable(_ enabled: Bool) throws(Failure)

  /// Resets the function. DMA that is under way ends before this returns.
  /// - Throws: ``BackingFailure/noReset`` when the device has no reset of its own.
  func reset() throws(Failure)

  /// Bus master off, interrupts off, reset, all arenas unmapped, files closed, in this order. May be called again.
  func close()
}

extension DeviceBacking {
  public var bell: Int32? { nil }
  public var onAccessFault: ((String) -> Void)? {
    get { nil }
    set {}
  }
}

/// Failures that mean the same with every backing: what their codes end in.
public enum BackingFailure: String, Sendable {
  /// The device has no reset of its own.
  case noReset = "-no-reset"
  /// An arena could not be taken away.
  case unmap = "-unmap"
}

extension Failure {
  /// Whether a backing said this, in its own words.
  public func says(_ meaning: BackingFailure) -> Bool { code.hasSuffix(meaning.rawValue) }
}

/// One BAR of a device.
public struct DeviceRegion: Sendable, Equatable {
  /// 0...5.
  public var bar: Int
  /// Bytes.
  public var size: UInt64
  /// Where the BAR begins in ``DeviceBacking/deviceFile``.
  public var fileOffset: UInt64
  public var isReadable: Bool
  public var isWritable: Bool
  /// Whether the kernel maps any of it.
  public var isMappable: Bool

  public init(bar: Int, size: UInt64, fileOffset: UInt64, isReadable: Bool, isWritable: Bool, isMappable: Bool) {
    self.bar = bar
    self.size = size
    self.fileOffset = fileOffset
    self.isReadable = isReadable
    self.isWritable = isWritable
    self.isMappable = isMappable
  }
}

/// Whole pages of a BAR that a driver may map.
public struct MappableRange: Sendable, Equatable {
  /// Bytes from the start of the BAR.
  public var offset: UInt64
  /// Bytes; a multiple of the page size. The last page of a BAR smaller than a page counts whole.
  public var length: UInt64
  /// The mmap(2) offset in ``DeviceBacking/deviceFile``.
  public var fileOffset: UInt64

  public init(offset: UInt64, length: UInt64, fileOffset: UInt64) {
    self.offset = offset
    self.length = length
    self.fileOffset = fileOffset
  }
}

/// An arena as the device sees it. All of it is a multiple of the page size.
public struct ArenaMapping {
  /// The address the device uses.
  public var iova: UInt64
  /// The memfd, for backings that map by file (an emulated device, iommufd).
  public var file: Int32
  /// The mapping in this process, for backings that map by address (VFIO type1).
  public var base: UnsafeMutableRawPointer
  /// Bytes.
  public var size: UInt64
  public var access: DMAAccess

  public init(iova: UInt64, file: Int32, base: UnsafeMutableRawPointer, size: UInt64, access: DMAAccess = .both) {
    self.iova = iova
    self.file = file
    self.base = base
    self.size = size
    self.access = access
  }
}

/// What the device may do to an arena.
public struct DMAAccess: OptionSet, Sendable {
  public let rawValue: UInt32
  public init(rawValue: UInt32) { self.rawValue = rawValue }

  public static let deviceReads = DMAAccess(rawValue: 1)
  public static let deviceWrites = DMAAccess(rawValue: 2)
  public static let both: DMAAccess = [.deviceReads, .deviceWrites]
}

/// The width of an access to configuration space, in bytes.
public enum ConfigWidth: Int, Sendable, CaseIterable {
  case byte = 1
  case word = 2
  case dword = 4
}

/// A kind of interrupt; raw values are the indexes of linux/vfio.h.
public enum InterruptKind: UInt32, Sendable, CaseIterable {
  case intx = 0
  case msi = 1
  case msix = 2
  /// The kernel reports an unrecoverable bus error (AER).
  case error = 3
  /// The kernel asks for the device back: it is being unbound or unplugged, and waits until the files are closed.
  case request = 4
}
