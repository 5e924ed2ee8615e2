import CBulkhead
import Glibc
import NBDClient
import Platform

/// An NBD export over some connections, each made again when it is lost.
public final class NBDTarget: Target {
  private let path: String
  private let name: String
  private var connections: [NBDConnection?]
  private var nextAttempt: Nanoseconds = 0
  private var lost: [Int] = []
  private let export: NBDExport
  public private(set) var disconnects = 0

  /// - Throws: ``Failure`` of the first connections.
  public init(socket path: String, name: String, connections count: Int) throws(Failure) {
    self.path = path
    self.name = name
    var made: [NBDConnection?] = []
    for _ in 0..<count { made.append(try NBDConnection(socket: path, name: name)) }
    export = made[0]!.export
    guard count == 1 || export.hasMultiConnection else {
      throw Failure(
        "campaign-target", "use \(count) connections", hint: "the export does not say CAN_MULTI_CONN: one is all")
    }
    connections = made
  }

  public var size: Int { Int(export.size) }
  public var blockSize: Int { max(sectorSize, export.minimumBlock) }
  public var kinds: Set<Operation.Kind> {
    var kinds: Set<Operation.Kind> = [.read]
    if !export.isReadOnly { kinds.insert(.write) }
    if export.hasFlush { kinds.insert(.flush) }
    if export.hasTrim { kinds.insert(.trim) }
    if export.hasWriteZeroes { kinds.insert(.writeZeroes) }
    return kinds
  }
  public var canForceUnitAccess: Bool { export.hasFUA }

  public var isReady: Bool { connections.contains { $0 != nil } }

  public func submit(_ operation: Operation, memory: UnsafeMutableRawPointer, slot: Int) {
    let kind: NBDRequest.Kind =
      switch operation.kind {
      case .read: .read
      case .write: .write
      case .flush: .flush
      case .writeZeroes: .writeZeroes
      case .trim: .trim
      }
    var connection: NBDConnection?
    for index in 0..<connections.count where connection == nil {
      connection = connections[(slot + index) % connections.count]
    }
    connection!.submit(
      NBDRequest(
        kind, flags: operation.forceUnitAccess ? NBDRequest.forceUnitAccess : 0,
        offset: UInt64(operation.first * sectorSize), length: operation.count * sectorSize, memory: memory,
        cookie: UInt64(slot)))
  }

  public func addFiles(to list: inout [pollfd]) {
    for case let connection? in connections {
      list.append(pollfd(fd: connection.file, events: connection.events, revents: 0))
    }
  }

  public func collect(_ handler: (Int, Outcome) -> Void) {
    for index in connections.indices {
      guard let connection = connections[index] else { continue }
      connection.send()
      connection.receive { handler(Int($0.cookie), $0.error == 0 ? .done : .failed($0.error)) }
      guard connection.isLost else { continue }
      disconnects += 1
      connections[index] = nil
      lost += connection.cookies.map { Int($0) }
    }
    guard connections.contains(where: { $0 == nil }) else { return }
    let now = bh_monotonic_ns()
    guard now >= nextAttempt else { return }
    nextAttempt = now + 5_000_000
    for index in connections.indices where connections[index] == nil {
      guard let connection = try? NBDConnection(socket: path, name: name, within: 2_000_000_000),
        connection.export == export
      else { return }
      connections[index] = connection
    }
    // Only now it is sure that the server, which may have been killed, does nothing for the old connections any more.
    for slot in lost { handler(slot, .unknown) }
    lost = []
  }
}
