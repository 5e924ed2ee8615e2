/// The statistics registers (82574 datasheet 10.2.7): reading one clears it, and it stays at its largest value. The two
/// halves of a 64-bit one are cleared together by reading the upper.
struct E1000EStatistics {
  enum Counter {
    /// MPC, frames for which there was no room.
    static let missed = 0x04010
    /// GPRC, BPRC, MPRC: good frames, broadcast and multicast among them.
    static let received = 0x04074
    static let receivedBroadcast = 0x04078
    static let receivedMulticast = 0x0407C
    /// GPTC.
    static let sent = 0x04080
    /// GORCL, GOTCL: bytes from the destination's address through the check sequence; the upper halves follow.
    static let receivedOctets = 0x04088
    static let sentOctets = 0x04090
    /// RNBC, frames that came while no descriptor was there.
    static let noBuffer = 0x040A0
    /// RUC, shorter than 64 bytes; ROC, too long.
    static let undersize = 0x040A4
    static let oversize = 0x040AC
    /// TORL, TOTL: as GORC and GOTC, bad frames included; TPR, TPT.
    static let totalReceivedOctets = 0x040C0
    static let totalSentOctets = 0x040C8
    static let totalReceived = 0x040D0
    static let totalSent = 0x040D4
    static let sentMulticast = 0x040F0
    static let sentBroadcast = 0x040F4
    /// TSCTC, frames that were cut into segments.
    static let segmented = 0x040F8
    /// PRC64 and PTC64; those of 127, 255, 511, 1023 and more bytes follow.
    static let receivedSizes = 0x0405C
    static let sentSizes = 0x040D8
  }

  private var words = [UInt32](repeating: 0, count: E1000ERegister.statistics.count / 4)

  private static let wide: Set<Int> = [
    Counter.receivedOctets, Counter.sentOctets, Counter.totalReceivedOctets, Counter.totalSentOctets,
  ]

  private func index(_ offset: Int) -> Int { (offset - E1000ERegister.statistics.lowerBound) >> 2 }

  mutating func count(_ counter: Int) {
    let index = index(counter)
    if words[index] != .max { words[index] += 1 }
  }

  private mutating func add(_ bytes: Int, to counter: Int) {
    let index = index(counter)
    let value = (UInt64(words[index + 1]) << 32 | UInt64(words[index])).addingReportingOverflow(UInt64(bytes))
    let sum = value.overflow ? UInt64.max : value.partialValue
    (words[index], words[index + 1]) = (UInt32(truncatingIfNeeded: sum), UInt32(sum >> 32))
  }

  mutating func read(_ offset: Int) -> UInt32 {
    guard offset & 3 == 0 else { return 0 }
    let index = index(offset)
    defer {
      if !Self.wide.contains(offset) { words[index] = 0 }
      if Self.wide.contains(offset - 4) { words[index - 1] = 0 }
    }
    return words[index]
  }

  /// A frame that was taken from the wire, or sent; bytes without the check sequence.
  mutating func count(_ frame: UnsafeMutableRawPointer, _ length: Int, isReceived: Bool) {
    let bytes = max(length, 60) + E1000EController.checkSequenceSize
    count(isReceived ? Counter.received : Counter.sent)
    count(isReceived ? Counter.totalReceived : Counter.totalSent)
    add(bytes, to: isReceived ? Counter.receivedOctets : Counter.sentOctets)
    add(bytes, to: isReceived ? Counter.totalReceivedOctets : Counter.totalSentOctets)
    let size = bytes <= 64 ? 0 : bytes < 128 ? 1 : bytes < 256 ? 2 : bytes < 512 ? 3 : bytes < 1024 ? 4 : 5
    count((isReceived ? Counter.receivedSizes : Counter.sentSizes) + 4 * size)
    guard frame.load(as: UInt8.self) & 1 == 1 else { return }
    if E1000EFrame(bytes: frame, length: length).isBroadcast {
      count(isReceived ? Counter.receivedBroadcast : Counter.sentBroadcast)
    } else {
      count(isReceived ? Counter.receivedMulticast : Counter.sentMulticast)
    }
  }
}
