/// Physical Region Pages: NVMe 2.0 section 4.1.1, with 4 KiB memory pages (CC.MPS = 0).
public enum PRPList {
  public static let pageSize: UInt64 = 4096
  /// Entries of one slot's list. With PRP1 they reach 1 MiB from any offset in a page.
  public static let capacity = 256
  /// Bytes of one slot's list; lists of this size and alignment never cross a page, so they need no chaining.
  public static let byteCount = capacity * 8
  /// Bytes that can be described wherever they begin in a page.
  public static let maximumTransfer: UInt64 = UInt64(capacity) * pageSize

  /// Describes `length` bytes that are contiguous for the device from `address`.
  /// - Parameter list: of ``byteCount`` bytes, used where more than two pages are touched.
  /// - Returns: PRP1 and PRP2, or nil where `address` is not a multiple of 4 or there are too many pages.
  @inline(__always)
  public static func describe(
    address: UInt64, length: UInt64, list: UnsafeMutablePointer<UInt64>, listAddress: UInt64
  ) -> (prp1: UInt64, prp2: UInt64)? {
    guard address & 3 == 0, length > 0 else { return nil }
    let first = pageSize - (address & (pageSize - 1))
    guard length > first else { return (address, 0) }
    var page = (address & ~(pageSize - 1)) + pageSize
    let pages = (length - first + pageSize - 1) / pageSize
    if pages == 1 { return (address, page) }
    guard pages <= UInt64(capacity) else { return nil }
    for index in 0..<Int(pages) {
      list[index] = page.littleEndian
      page += pageSize
    }
    return (address, listAddress)
  }
}
