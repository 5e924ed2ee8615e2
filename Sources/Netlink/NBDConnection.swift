/// What to tell the kernel about an NBD device (linux/nbd-netlink.h).
public struct NBDConnection: Sendable, Equatable {
  /// The N of `/dev/nbdN`; `nil` lets the kernel choose.
  public var index: Int?
  /// The size of the disk, in bytes.
  public var sizeBytes: UInt64
  /// The smallest unit of a request, in bytes: a power of two, 512 up to the page size.
  public var blockSize: UInt64
  /// What the server can do.
  public var serverFlags: NBDServerFlags
  public var clientFlags: NBDClientFlags
  /// Connected stream sockets, one for each connection. The kernel takes a reference of its own.
  public var sockets: [Int32]
  /// How long a request may take before its connection counts as dead. `nil` or 0: for ever.
  public var timeoutSeconds: UInt64?
  /// How long requests wait for a new connection after the last one has died. `nil` or 0: they fail at once.
  public var deadConnectionTimeoutSeconds: UInt64?
  /// A name that a later ``NBDControl/reconfigure(index:_:)`` must repeat (Linux 5.14 and later).
  public var backendIdentifier: String?

  public init(
    index: Int? = nil, sizeBytes: UInt64, blockSize: UInt64, serverFlags: NBDServerFlags,
    clientFlags: NBDClientFlags = [], sockets: [Int32], timeoutSeconds: UInt64? = nil,
    deadConnectionTimeoutSeconds: UInt64? = nil, backendIdentifier: String? = nil
  ) {
    self.index = index
    self.sizeBytes = sizeBytes
    self.blockSize = blockSize
    self.serverFlags = serverFlags
    self.clientFlags = clientFlags
    self.sockets = sockets
    self.timeoutSeconds = timeoutSeconds
    self.deadConnectionTimeoutSeconds = deadConnectionTimeoutSeconds
    self.backendIdentifier = backendIdentifier
  }
}

/// Transmission flags of an export (NBD protocol, "Transmission flags"; NBD_FLAG_ in linux/nbd.h).
public struct NBDServerFlags: OptionSet, Sendable, Equatable {
  public let rawValue: UInt64
  public init(rawValue: UInt64) { self.rawValue = rawValue }

  public static let hasFlags = NBDServerFlags(rawValue: 1 << 0)
  public static let readOnly = NBDServerFlags(rawValue: 1 << 1)
  public static let sendFlush = NBDServerFlags(rawValue: 1 << 2)
  public static let sendFUA = NBDServerFlags(rawValue: 1 << 3)
  public static let rotational = NBDServerFlags(rawValue: 1 << 4)
  public static let sendTrim = NBDServerFlags(rawValue: 1 << 5)
  /// The kernel's client uses it from Linux 6.10 on.
  public static let sendWriteZeroes = NBDServerFlags(rawValue: 1 << 6)
  /// Several connections see each other's flushed writes. The kernel takes more than one socket only with it.
  public static let canMultiConn = NBDServerFlags(rawValue: 1 << 8)
}

/// NBD_CFLAG_ in linux/nbd.h.
public struct NBDClientFlags: OptionSet, Sendable, Equatable {
  public let rawValue: UInt64
  public init(rawValue: UInt64) { self.rawValue = rawValue }

  /// The device goes when it is disconnected.
  public static let destroyOnDisconnect = NBDClientFlags(rawValue: 1 << 0)
  /// The device is disconnected when its last opener has gone.
  public static let disconnectOnClose = NBDClientFlags(rawValue: 1 << 1)
}

/// Whether `/dev/nbdN` is connected.
public struct NBDStatus: Sendable, Equatable {
  public var index: Int
  public var isConnected: Bool
}
