/// A part of a BAR that a driver may map.
public struct BarRange: WireCodable, Hashable {
  /// BAR number, 0 to 5.
  public var bar: UInt8
  /// Where the range begins in the BAR, in bytes; a multiple of the page size.
  public var offset: UInt64
  /// Bytes; a multiple of the page size.
  public var length: UInt64
  /// Where the range begins in the VFIO device file, in bytes.
  public var fileOffset: UInt64

  public init(bar: UInt8, offset: UInt64, length: UInt64, fileOffset: UInt64) {
    self.bar = bar
    self.offset = offset
    self.length = length
    self.fileOffset = fileOffset
  }

  public func encode(into writer: inout WireWriter) {
    writer.put(bar)
    writer.put(offset)
    writer.put(length)
    writer.put(fileOffset)
  }

  public init(from reader: inout WireReader) throws(WireError) {
    bar = try reader.get("bar")
    offset = try reader.get("bar offset")
    length = try reader.get("bar length")
    fileOffset = try reader.get("bar file offset")
    guard bar < 6, length > 0, !offset.addingReportingOverflow(length).overflow,
      !fileOffset.addingReportingOverflow(length).overflow
    else { throw .invalidValue("bar range") }
  }

  /// The most ranges that one driver can be granted.
  public static let maximumCount = 8
}

/// What a driver is given, from the broker to the jail: the first message on a driver's control socket.
///
/// The files travel with it, in the order of ``fileNumbers``.
public struct LaunchGrant: WireCodable {
  /// `fileNumbers[i]` is the number (of ``DriverFile``) that the i-th file gets.
  public var fileNumbers: [UInt8]
  public var bars: [BarRange]

  /// The most files that one grant carries.
  public static let maximumFiles = 96

  public init(fileNumbers: [UInt8], bars: [BarRange]) {
    precondition(fileNumbers.count <= Self.maximumFiles && bars.count <= BarRange.maximumCount)
    self.fileNumbers = fileNumbers
    self.bars = bars
  }

  public func encode(into writer: inout WireWriter) {
    writer.put(UInt16(fileNumbers.count))
    for number in fileNumbers { writer.put(number) }
    writer.put(bars)
  }

  public init(from reader: inout WireReader) throws(WireError) {
    let count = Int(try reader.get(UInt16.self, "file count"))
    guard count <= Self.maximumFiles else { throw .invalidValue("file count") }
    fileNumbers = []
    for _ in 0..<count { fileNumbers.append(try reader.get("file number")) }
    guard Set(fileNumbers).count == count else { throw .invalidValue("file numbers") }
    bars = try reader.bars()
  }
}

extension WireWriter {
  mutating func put(_ bars: [BarRange]) {
    put(UInt8(bars.count))
    for bar in bars { bar.encode(into: &self) }
  }
}

extension WireReader {
  mutating func bars() throws(WireError) -> [BarRange] {
    let count = Int(try get(UInt8.self, "bar count"))
    guard count <= BarRange.maximumCount else { throw .invalidValue("bar count") }
    var bars: [BarRange] = []
    for _ in 0..<count { bars.append(try BarRange(from: &self)) }
    return bars
  }
}
