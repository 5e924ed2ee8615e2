import CBulkhead

/// An Ethernet frame, as far as the controller looks into it. Without check sequence.
struct E1000EFrame {
  let bytes: UnsafeMutableRawPointer
  let length: Int

  func get8(_ offset: Int) -> UInt8 { bytes.load(fromByteOffset: offset, as: UInt8.self) }
  func get16(_ offset: Int) -> UInt16 {
    UInt16(bigEndian: bytes.loadUnaligned(fromByteOffset: offset, as: UInt16.self))
  }
  func get32(_ offset: Int) -> UInt32 {
    UInt32(bigEndian: bytes.loadUnaligned(fromByteOffset: offset, as: UInt32.self))
  }
  func put16(_ offset: Int, _ value: UInt16) {
    bytes.storeBytes(of: value.bigEndian, toByteOffset: offset, as: UInt16.self)
  }
  func put32(_ offset: Int, _ value: UInt32) {
    bytes.storeBytes(of: value.bigEndian, toByteOffset: offset, as: UInt32.self)
  }

  /// The sum of RFC 1071, not complemented.
  func sum(_ range: Range<Int>, _ before: UInt32 = 0) -> UInt16 {
    bh_internet_sum(bytes + range.lowerBound, range.count, before)
  }

  var isBroadcast: Bool { get32(0) == .max && get16(4) == .max }
  var isMulticast: Bool { get8(0) & 1 == 1 }
  /// The identifier in an 802.1Q tag; nil: no tag.
  var tag: Int? { length >= 18 && get16(12) == 0x8100 ? Int(get16(14) & 0xFFF) : nil }

  /// What there is of checksums.
  struct Checksums {
    var isIP = false
    /// Nil: IPv6 has none, or it was not looked at.
    var isHeaderGood: Bool?
    /// Nil: no TCP or UDP, a fragment, or UDP without.
    var isTransportGood: Bool?
    var isUDP = false
  }

  /// Looks at the checksums (82574 datasheet 7.1.10): IPv4, IPv6 without extension headers that it does not know, TCP and
  /// UDP, behind at most one VLAN tag.
  func checksums() -> Checksums {
    var found = Checksums()
    let start = tag == nil ? 14 : 18
    guard length >= start + 20 else { return found }
    switch get16(start - 2) {
    case 0x0800:
      let header = Int(get8(start) & 0xF) * 4
      let total = Int(get16(start + 2))
      guard get8(start) >> 4 == 4, header >= 20, total >= header, start + total <= length else { return found }
      found.isIP = true
      found.isHeaderGood = sum(start..<start + header) == 0xFFFF
      // A fragment's payload is only part of what was summed up.
      guard get16(start + 6) & 0x3FFF == 0 else { return found }
      lookAtTransport(
        &found, get8(start + 9), start + header..<start + total, addresses: start + 12..<start + 20)
    case 0x86DD:
      guard length >= start + 40, get8(start) >> 4 == 6, start + 40 + Int(get16(start + 4)) <= length else {
        return found
      }
      found.isIP = true
      lookAtIPv6(&found, start, end: start + 40 + Int(get16(start + 4)))
    default: break
    }
    return found
  }

  /// Steps over hop-by-hop, routing and destination options (RFC 8200 section 4).
  private func lookAtIPv6(_ found: inout Checksums, _ start: Int, end: Int) {
    var next = get8(start + 6)
    var place = start + 40
    while next == 0 || next == 43 || next == 60 {
      guard place + 8 <= end else { return }
      next = get8(place)
      place += 8 + Int(get8(place + 1)) * 8
    }
    guard place <= end else { return }
    lookAtTransport(&found, next, place..<end, addresses: start + 8..<start + 40)
  }

  private func lookAtTransport(
    _ found: inout Checksums, _ kind: UInt8, _ range: Range<Int>, addresses: Range<Int>
  ) {
    switch kind {
    case 6 where range.count >= 20: break
    case 17 where range.count >= 8:
      found.isUDP = true
      if get16(range.lowerBound + 6) == 0 { return }
    default: return
    }
    let pseudo = UInt32(sum(addresses)) + UInt32(kind) + UInt32(range.count)
    found.isTransportGood = sum(range, pseudo) == 0xFFFF
  }
}
