import Protocol

/// A key that only one class of devices has, where an entry says it. Those of `[defaults]` are for whom they fit.
struct ClassKey: Equatable, Sendable {
  var name: String
  var deviceClass: DeviceClass
  var location: SourceLocation

  private static let keys: [(table: String, deviceClass: DeviceClass, keys: [String])] = [
    ("outlet", .block, ["kernel", "connections", "socket", "namespaces", "read-only"]),
    ("outlet", .network, ["interface", "mac", "mtu", "namespace", "master", "datapath", "busy-poll"]),
    ("limits", .block, ["payload"]),
  ]

  /// Those that are there, in the order of the file.
  static func all(in reader: TableReader) -> [ClassKey] {
    keys.flatMap { table, deviceClass, keys -> [ClassKey] in
      guard reader.has(table), case .table(let nodes)? = reader.node(table)?.value else { return [] }
      return keys.compactMap { key in
        nodes[key].map { ClassKey(name: "\(table).\(key)", deviceClass: deviceClass, location: $0.key) }
      }
    }.sorted { ($0.location.line, $0.location.column) < ($1.location.line, $1.location.column) }
  }
}
