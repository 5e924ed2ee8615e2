/// What a driver says of its one network port, before ready.
public struct NetworkPort: WireCodable {
  /// What the port does for its frames.
  public struct Offloads: OptionSet, Sendable, Hashable {
    public let rawValue: UInt16
    public init(rawValue: UInt16) { self.rawValue = rawValue }
    /// Fills in checksums of outbound frames.
    public static let transmitChecksum = Offloads(rawValue: 1)
    /// Cuts outbound TCP segments to size; only with ``transmitChecksum``.
    public static let transmitTCP4 = Offloads(rawValue: 2)
    public static let transmitTCP6 = Offloads(rawValue: 4)
    /// Says of inbound frames that their checksums are right.
    public static let receiveChecksum = Offloads(rawValue: 8)
    /// Gives inbound TCP segments joined to larger ones; only with ``receiveChecksum``.
    public static let receiveTCP = Offloads(rawValue: 16)
    /// Cuts TCP segments with CWR right, too: the first one alone keeps it (RFC 3168 section 6.1.2). Only with one of
    /// ``transmitTCP4`` and ``transmitTCP6``; without it the outlet cuts those itself.
    public static let transmitECN = Offloads(rawValue: 32)
    static let known: Offloads = [
      .transmitChecksum, .transmitTCP4, .transmitTCP6, .receiveChecksum, .receiveTCP, .transmitECN,
    ]
  }

  /// The NIC's own address.
  public var address: HardwareAddress
  /// The largest MTU that it can have, from ``NetworkClass/minimumMTU`` to ``NetworkClass/maximumMTU``. It may be less than
  /// Ethernet's 1500: clouds hand out 1460 and less.
  public var maximumMTU: UInt16
  public var offloads: Offloads
  /// Pairs of virtqueues that the driver serves: the first so many of those it was granted.
  public var queuePairs: UInt8
  /// What the device is, for people.
  public var model: String
  /// Version of the firmware or NVM, or an empty text.
  public var firmware: String

  public init(
    address: HardwareAddress, maximumMTU: UInt16, offloads: Offloads, queuePairs: UInt8, model: String,
    firmware: String
  ) {
    self.address = address
    self.maximumMTU = maximumMTU
    self.offloads = offloads
    self.queuePairs = queuePairs
    self.model = model
    self.firmware = firmware
  }

  /// The feature bits of virtio-net that the outlet negotiates for this port.
  public var features: UInt64 {
    var features = NetworkClass.featureVersion1 | NetworkClass.featureEventIndex
    if offloads.contains(.transmitChecksum) { features |= NetworkClass.featureGuestChecksum }
    if offloads.contains(.transmitTCP4) { features |= NetworkClass.featureGuestTSO4 }
    if offloads.contains(.transmitTCP6) { features |= NetworkClass.featureGuestTSO6 }
    if offloads.contains(.transmitECN) { features |= NetworkClass.featureGuestECN }
    if offloads.contains(.receiveChecksum) { features |= NetworkClass.featureChecksum }
    if offloads.contains(.receiveTCP) { features |= NetworkClass.featureHostTSO4 | NetworkClass.featureHostTSO6 }
    return features
  }

  public func encode(into writer: inout WireWriter) {
    writer.put(address)
    writer.put(maximumMTU)
    writer.put(offloads.rawValue)
    writer.put(queuePairs)
    writer.put(model, limit: 64)
    writer.put(firmware, limit: 32)
  }

  public init(from reader: inout WireReader) throws(WireError) {
    address = try reader.hardwareAddress("port address")
    maximumMTU = try reader.get("port MTU")
    offloads = Offloads(rawValue: try reader.get("port offloads"))
    queuePairs = try reader.get("port queue pairs")
    model = try reader.text(limit: 64, "port model")
    firmware = try reader.text(limit: 32, "port firmware")
    guard address.isUsable else { throw .invalidValue("port address") }
    guard (NetworkClass.minimumMTU...NetworkClass.maximumMTU).contains(Int(maximumMTU)) else {
      throw .invalidValue("port MTU")
    }
    guard Offloads.known.isSuperset(of: offloads) else { throw .invalidValue("port offloads") }
    // virtio 1.2 section 5.1.3.1: segmentation requires checksums.
    guard offloads.contains(.transmitChecksum) || offloads.isDisjoint(with: [.transmitTCP4, .transmitTCP6]) else {
      throw .invalidValue("port offloads")
    }
    guard !offloads.contains(.transmitECN) || !offloads.isDisjoint(with: [.transmitTCP4, .transmitTCP6]) else {
      throw .invalidValue("port offloads")
    }
    guard offloads.contains(.receiveChecksum) || !offloads.contains(.receiveTCP) else {
      throw .invalidValue("port offloads")
    }
    guard (1...DriverFile.maximumQueues / 2).contains(Int(queuePairs)) else { throw .invalidValue("port queue pairs") }
  }
}

/// The state of a port's link, said whenever it changes, and once before ready.
public struct NetworkLink: WireCodable {
  public var isUp: Bool
  /// Megabits a second; 0 where the link is down or the speed is not known.
  public var speed: UInt32
  public var isFullDuplex: Bool

  public init(isUp: Bool, speed: UInt32, isFullDuplex: Bool) {
    self.isUp = isUp
    self.speed = speed
    self.isFullDuplex = isFullDuplex
  }

  public static let down = NetworkLink(isUp: false, speed: 0, isFullDuplex: false)

  public func encode(into writer: inout WireWriter) {
    writer.put(isUp)
    writer.put(speed)
    writer.put(isFullDuplex)
  }

  public init(from reader: inout WireReader) throws(WireError) {
    isUp = try reader.get("link is up")
    speed = try reader.get("link speed")
    isFullDuplex = try reader.get("link duplex")
    guard isUp || (speed == 0 && !isFullDuplex) else { throw .invalidValue("link speed") }
  }
}

/// How the port has to be, all of it: what an administrator set on the interface. One message says everything, so the
/// next driver is brought to the same state by repeating the last one.
public struct NetworkSettings: WireCodable {
  /// The most multicast addresses; who needs more sets ``receivesAllMulticast``.
  public static let multicastLimit = 64

  /// Counts settings, from 1; the answer carries the number.
  public var sequence: UInt32
  /// The interface is up: frames flow.
  public var isEnabled: Bool
  /// The unicast address whose frames are taken.
  public var address: HardwareAddress
  public var mtu: UInt16
  /// Every frame is taken.
  public var isPromiscuous: Bool
  /// Every multicast frame is taken.
  public var receivesAllMulticast: Bool
  /// Multicast addresses whose frames are taken, beside broadcast. A NIC may take more, since it filters by hash.
  public var multicast: [HardwareAddress]

  public init(
    sequence: UInt32, isEnabled: Bool, address: HardwareAddress, mtu: UInt16, isPromiscuous: Bool = false,
    receivesAllMulticast: Bool = false, multicast: [HardwareAddress] = []
  ) {
    self.sequence = sequence
    self.isEnabled = isEnabled
    self.address = address
    self.mtu = mtu
    self.isPromiscuous = isPromiscuous
    self.receivesAllMulticast = receivesAllMulticast
    self.multicast = multicast
  }

  public func encode(into writer: inout WireWriter) {
    precondition(multicast.count <= Self.multicastLimit, "more multicast addresses than a message holds")
    writer.put(sequence)
    writer.put(isEnabled)
    writer.put(address)
    writer.put(mtu)
    writer.put(isPromiscuous)
    writer.put(receivesAllMulticast)
    writer.put(UInt8(multicast.count))
    for address in multicast { writer.put(address) }
  }

  public init(from reader: inout WireReader) throws(WireError) {
    sequence = try reader.get("settings sequence")
    isEnabled = try reader.get("settings enabled")
    address = try reader.hardwareAddress("settings address")
    mtu = try reader.get("settings MTU")
    isPromiscuous = try reader.get("settings promiscuous")
    receivesAllMulticast = try reader.get("settings all multicast")
    let count = Int(try reader.get(UInt8.self, "settings multicast count"))
    guard address.isUsable else { throw .invalidValue("settings address") }
    guard (NetworkClass.minimumMTU...NetworkClass.maximumMTU).contains(Int(mtu)) else {
      throw .invalidValue("settings MTU")
    }
    guard count <= Self.multicastLimit else { throw .invalidValue("settings multicast count") }
    multicast = []
    for _ in 0..<count {
      let address = try reader.hardwareAddress("settings multicast address")
      guard address.isMulticast else { throw .invalidValue("settings multicast address") }
      multicast.append(address)
    }
  }
}

/// What the NIC and its driver have counted since the driver started. Untrusted, for people.
public struct NetworkStatistics: WireCodable {
  /// A counter; the order is the order in the message.
  public enum Counter: Int, CaseIterable, Sendable {
    /// Frames and octets (with the frame check sequence) that the NIC received or sent without error.
    case receivedFrames, receivedOctets, sentFrames, sentOctets
    case receivedMulticast, receivedBroadcast, sentMulticast, sentBroadcast
    /// Frames that the NIC had no room or no buffer for.
    case missedFrames, noBuffer
    case checksumErrors, alignmentErrors, receiveErrors, lengthErrors, undersize, oversize, fragments, jabber
    case collisions, lateCollisions, deferred, carrierLost
    case pauseReceived, pauseSent
    /// Segmentations that the NIC did.
    case segmented
    /// Inbound frames that the driver dropped: the NIC reported an error, or they are longer than the MTU permits; or what
    /// no NIC reports.
    case droppedInbound, implausibleInbound
    /// Outbound frames that the driver dropped: too long, or with a header that contradicts the frame.
    case droppedOutbound
    case resets, hangs

    /// The stable name, such as `received-frames`.
    public var name: String {
      "\(self)".reduce(into: "") { text, character in
        if character.isUppercase { text.append("-") }
        text += character.lowercased()
      }
    }
  }

  private var values: [UInt64]

  public init() { values = [UInt64](repeating: 0, count: Counter.allCases.count) }

  public subscript(counter: Counter) -> UInt64 {
    get { values[counter.rawValue] }
    set { values[counter.rawValue] = newValue }
  }

  public func encode(into writer: inout WireWriter) { for value in values { writer.put(value) } }

  public init(from reader: inout WireReader) throws(WireError) {
    values = []
    for _ in Counter.allCases { values.append(try reader.get("statistics counter")) }
  }
}
