import Platform

/// Decides which pages of a BAR a driver may map.
enum BarLayout {
  /// The whole pages of a region that are mappable and free of `holes`.
  ///
  /// A sparse area counts from its first whole page to its last one. A region without sparse areas may end inside a page:
  /// the kernel says it is mappable only if the rest of that page belongs to nobody else, so that page counts whole.
  /// - Parameters:
  ///   - holes: bytes that must not be mapped, from the start of the BAR; the pages around them are left out.
  ///   - pageSize: bytes, a power of two.
  static func mappableRanges(_ region: RegionInfo, holes: [Range<UInt64>], pageSize: UInt64) -> [MappableRange] {
    guard region.isMappable, region.size > 0 else { return [] }
    let mask = pageSize - 1
    var pages: [Range<UInt64>] = []
    if let areas = region.sparseAreas {
      for area in areas {
        let (start, overflow) = area.lowerBound.addingReportingOverflow(mask)
        let first = start & ~mask
        let last = area.upperBound & ~mask
        if !overflow, first < last { pages.append(first..<last) }
      }
    } else {
      let (end, overflow) = region.size.addingReportingOverflow(mask)
      pages = [0..<((overflow ? region.size : end) & ~mask)]
    }
    for hole in holes where !hole.isEmpty {
      let (end, overflow) = hole.upperBound.addingReportingOverflow(mask)
      let closed = (hole.lowerBound & ~mask)..<(overflow ? UInt64.max : end & ~mask)
      pages = pages.flatMap { subtract(closed, from: $0) }
    }
    return pages.sorted { $0.lowerBound < $1.lowerBound }.compactMap { page in
      let (fileOffset, overflow) = region.fileOffset.addingReportingOverflow(page.lowerBound)
      guard !overflow, fileOffset & mask == 0 else { return nil }
      return MappableRange(offset: page.lowerBound, length: UInt64(page.count), fileOffset: fileOffset)
    }
  }

  private static func subtract(_ hole: Range<UInt64>, from range: Range<UInt64>) -> [Range<UInt64>] {
    guard hole.overlaps(range) else { return [range] }
    var rest: [Range<UInt64>] = []
    if range.lowerBound < hole.lowerBound { rest.append(range.lowerBound..<hole.lowerBound) }
    if hole.upperBound < range.upperBound { rest.append(hole.upperBound..<range.upperBound) }
    return rest
  }
}

/// Where the MSI-X table and the pending bits are (PCI 3.0 section 6.8.2).
struct MSIXStructure: Equatable {
  /// 1...2048.
  var vectorCount: Int
  var tableBar: Int
  /// Bytes from the start of ``tableBar``.
  var table: Range<UInt64>
  var pendingBar: Int
  /// Bytes from the start of ``pendingBar``.
  var pending: Range<UInt64>

  /// Finds the capability (id 0x11) in configuration space; `nil` if the device has none.
  ///
  /// The list is walked at most 48 steps, as many as fit behind the header, so that a list that bites its tail ends.
  static func find(read: (_ offset: Int, _ width: ConfigWidth) throws(Failure) -> UInt32) throws(Failure) -> Self? {
    guard try read(0x06, .word) & 0x10 != 0 else { return nil }
    var offset = Int(try read(0x34, .byte)) & 0xfc
    for _ in 0..<48 where offset >= 0x40 {
      let header = try read(offset, .word)
      if header & 0xff == 0x11 {
        guard offset <= 0x100 - 12 else { return nil }
        return MSIXStructure(
          control: try read(offset + 2, .word), table: try read(offset + 4, .dword),
          pending: try read(offset + 8, .dword))
      }
      offset = Int(header >> 8) & 0xfc
    }
    return nil
  }

  /// From the capability's message control, table and PBA registers.
  init(control: UInt32, table: UInt32, pending: UInt32) {
    vectorCount = Int(control & 0x7ff) + 1
    tableBar = Int(table & 7)
    let tableStart = UInt64(table & ~7)
    self.table = tableStart..<(tableStart + 16 * UInt64(vectorCount))
    pendingBar = Int(pending & 7)
    let pendingStart = UInt64(pending & ~7)
    // One bit a vector, in units of 8 bytes.
    self.pending = pendingStart..<(pendingStart + 8 * UInt64((vectorCount + 63) / 64))
  }

  /// The bytes of a BAR that belong to the table or the pending bits.
  func holes(bar: Int) -> [Range<UInt64>] {
    (tableBar == bar ? [table] : []) + (pendingBar == bar ? [pending] : [])
  }
}
