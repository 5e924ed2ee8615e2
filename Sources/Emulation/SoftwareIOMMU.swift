import Glibc
import Platform
import VFIO

/// The only way from the emulated controller to memory: an address is in a granted arena, or it is a fault.
final class SoftwareIOMMU {
  fileprivate struct Arena {
    var iova: UInt64
    var size: UInt64
    var base: UnsafeMutableRawPointer
    var access: DMAAccess
  }

  static let capacity = 16
  /// How many faults are kept whole; all are counted.
  static let faultLimit = 64

  private let arenas = UnsafeMutablePointer<Arena>.allocate(capacity: capacity)
  private var count = 0
  /// The arena of the last access: most accesses stay in one.
  private var last = 0
  /// PCI command register bit 2. Off: no access at all.
  var isBusMaster = false
  /// Whose accesses these are, for the record.
  var queue: UInt16?
  var command: UInt16?
  private(set) var faults: [EmulatedFault] = []
  private(set) var faultCount: UInt64 = 0
  var onFault: ((EmulatedFault) -> Void)?

  deinit { arenas.deallocate() }

  /// - Throws: `emulated-map` for an arena that is empty, not page-aligned, wraps around, overlaps another, or is one too
  ///   many.
  func map(_ arena: ArenaMapping) throws(Failure) {
    let step = "map 0x\(String(arena.size, radix: 16)) bytes at 0x\(String(arena.iova, radix: 16))"
    let (end, wraps) = arena.iova.addingReportingOverflow(arena.size)
    guard arena.size > 0, !wraps, (arena.iova | arena.size) % UInt64(pageSize) == 0 else {
      throw Failure("emulated-map", "\(step): not whole pages of the address space")
    }
    for index in 0..<count where arena.iova < arenas[index].iova + arenas[index].size && arenas[index].iova < end {
      throw Failure("emulated-map", "\(step): overlaps another arena", errno: EEXIST)
    }
    guard count < Self.capacity else { throw Failure("emulated-map", "\(step): \(count) arenas are mapped already") }
    (arenas + count).initialize(
      to: Arena(iova: arena.iova, size: arena.size, base: arena.base, access: arena.access))
    count += 1
  }

  /// - Throws: `emulated-unmap` if no arena begins there.
  func unmap(iova: UInt64) throws(Failure) {
    for index in 0..<count where arenas[index].iova == iova {
      count -= 1
      arenas[index] = arenas[count]
      last = 0
      return
    }
    throw Failure("emulated-unmap", "unmap the arena at 0x\(String(iova, radix: 16)): there is none")
  }

  func unmapAll() {
    count = 0
    last = 0
  }

  /// Where `length` bytes at `address` are, or nil, and a fault on record.
  @inline(__always)
  func translate(_ address: UInt64, _ length: Int, _ access: DMAAccess) -> UnsafeMutableRawPointer? {
    if isBusMaster, last < count, let place = arenas[last].place(address, UInt64(length), access) { return place }
    return search(address, length, access)
  }

  @inline(never)
  private func search(_ address: UInt64, _ length: Int, _ access: DMAAccess) -> UnsafeMutableRawPointer? {
    guard isBusMaster else { return refuse(.busMasterOff, address, length, access) }
    let (_, wraps) = address.addingReportingOverflow(UInt64(length))
    guard !wraps else { return refuse(.overflow, address, length, access) }
    for index in 0..<count {
      if let place = arenas[index].place(address, UInt64(length), access) {
        last = index
        return place
      }
    }
    for index in 0..<count where address >= arenas[index].iova && address - arenas[index].iova < arenas[index].size {
      let fits = UInt64(length) <= arenas[index].size - (address - arenas[index].iova)
      return refuse(fits ? .denied : .straddles, address, length, access)
    }
    return refuse(.outside, address, length, access)
  }

  private func refuse(
    _ reason: EmulatedFault.Reason, _ address: UInt64, _ length: Int, _ access: DMAAccess
  ) -> UnsafeMutableRawPointer? {
    let fault = EmulatedFault(
      reason: reason, address: address, length: length, access: access, queue: queue, command: command)
    faultCount += 1
    if faults.count < Self.faultLimit { faults.append(fault) }
    onFault?(fault)
    return nil
  }
}

extension SoftwareIOMMU.Arena {
  @inline(__always)
  fileprivate func place(_ address: UInt64, _ length: UInt64, _ access: DMAAccess) -> UnsafeMutableRawPointer? {
    let offset = address &- iova
    guard address >= iova, offset < size, length <= size - offset, self.access.isSuperset(of: access) else {
      return nil
    }
    return base + Int(offset)
  }
}
