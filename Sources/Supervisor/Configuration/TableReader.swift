import Platform

/// Reads the keys of one table, typed; what is wrong goes to the log, and the caller's default stays.
///
/// Keys that were never asked for are unknown: ``finish()`` reports them.
final class TableReader {
  let location: SourceLocation
  let log: IssueLog
  private let nodes: [String: TOMLNode]
  /// How messages call the table: `limits`, or empty for the top.
  private let name: String
  private var asked: Set<String> = []

  init(_ nodes: [String: TOMLNode], at location: SourceLocation, name: String, log: IssueLog) {
    self.nodes = nodes
    self.location = location
    self.name = name
    self.log = log
  }

  /// `"memory" in limits`
  private func quoted(_ key: String) -> String { name.isEmpty ? "\"\(key)\"" : "\"\(key)\" in \(name)" }

  /// The node of a key, which counts as known from now on.
  func node(_ key: String) -> TOMLNode? {
    asked.insert(key)
    return nodes[key]
  }

  /// Whether the key is there; does not make it known.
  func has(_ key: String) -> Bool { nodes[key] != nil }

  /// Reports that `key` has the wrong value.
  func complain(_ key: String, _ node: TOMLNode, must: String, hint: String = "") {
    log.add(node.location, "\(quoted(key)) must be \(must), not \(node.words)", hint: hint)
  }

  func string(_ key: String, must: String = "a text") -> (text: String, node: TOMLNode)? {
    guard let node = node(key) else { return nil }
    guard case .string(let text) = node.value else {
      complain(key, node, must: must, hint: "put it between quotes")
      return nil
    }
    return (text, node)
  }

  /// A text that `parse` understands.
  func parsed<Value>(_ key: String, must: String, hint: String = "", _ parse: (String) -> Value?) -> Value? {
    guard let (text, node) = string(key, must: must) else { return nil }
    guard let value = parse(text) else {
      complain(key, node, must: must, hint: hint)
      return nil
    }
    return value
  }

  /// One of the cases of an enumeration whose raw values are the words of the file.
  func choice<Value: RawRepresentable<String> & CaseIterable>(_ key: String, _ type: Value.Type) -> Value? {
    let words = Value.allCases.map(\.rawValue)
    let must = "one of " + words.map { "\"\($0)\"" }.joined(separator: ", ")
    guard let (text, node) = string(key, must: must) else { return nil }
    if let value = Value(rawValue: text) { return value }
    let near = Suggestion.nearest(to: text, among: words)
    complain(key, node, must: must, hint: near.map { "did you mean \"\($0)\"?" } ?? "")
    return nil
  }

  func boolean(_ key: String) -> Bool? {
    guard let node = node(key) else { return nil }
    guard case .boolean(let value) = node.value else {
      complain(key, node, must: "true or false", hint: "without quotes")
      return nil
    }
    return value
  }

  func integer(_ key: String, in range: ClosedRange<Int>) -> Int? {
    guard let node = node(key) else { return nil }
    guard case .integer(let value) = node.value, range.contains(value) else {
      complain(key, node, must: "a whole number from \(range.lowerBound) to \(range.upperBound)")
      return nil
    }
    return value
  }

  func powerOfTwo(_ key: String, in range: ClosedRange<Int>) -> Int? {
    guard let node = node(key) else { return nil }
    guard case .integer(let value) = node.value, range.contains(value), value.nonzeroBitCount == 1 else {
      complain(key, node, must: "a power of two from \(range.lowerBound) to \(range.upperBound)")
      return nil
    }
    return value
  }

  /// Bytes; a plain integer is fine too.
  func bytes(_ key: String, in range: ClosedRange<Int>) -> Int? {
    guard let node = node(key) else { return nil }
    let must = "a size from \(Quantity.text(bytes: range.lowerBound)) to \(Quantity.text(bytes: range.upperBound))"
    var size: Int?
    if case .integer(let value) = node.value { size = value }
    if case .string(let text) = node.value { size = Quantity.bytes(text) }
    guard let size, range.contains(size) else {
      complain(key, node, must: must, hint: "write it as \"64M\"; K, M and G are multiples of 1024 bytes")
      return nil
    }
    return size
  }

  func duration(
    _ key: String, in range: ClosedRange<Nanoseconds>,
    hint: String = "write it as \"500ms\", \"10s\", \"5m\" or \"1h\", at most an hour"
  ) -> Nanoseconds? {
    parsed(key, must: "a duration", hint: hint) {
      guard let value = Quantity.duration($0), range.contains(value) else { return nil }
      return value
    }
  }

  /// The reader of a table below; nil if it is not there.
  func table(_ key: String) -> TableReader? {
    guard let node = node(key) else { return nil }
    guard case .table(let nodes) = node.value else {
      complain(key, node, must: "a table", hint: "write it as \(key) = { key = value }, or below a line [\(key)]")
      return nil
    }
    return TableReader(nodes, at: node.location, name: key, log: log)
  }

  /// The readers of an array of tables, empty if it is not there.
  func tables(_ key: String) -> [TableReader] {
    guard let node = node(key) else { return [] }
    guard case .array(let elements) = node.value else {
      complain(key, node, must: "an array of tables", hint: "begin each with a line [[\(key)]]")
      return []
    }
    return elements.compactMap { element in
      guard case .table(let nodes) = element.value else {
        complain(key, element, must: "an array of tables", hint: "begin each with a line [[\(key)]]")
        return nil
      }
      return TableReader(nodes, at: element.location, name: "[[\(key)]]", log: log)
    }
  }

  func array(_ key: String, of what: String) -> [TOMLNode]? {
    guard let node = node(key) else { return nil }
    guard case .array(let elements) = node.value else {
      complain(key, node, must: "an array of \(what)")
      return nil
    }
    return elements
  }

  /// All keys with their nodes, sorted; they count as known.
  func everything() -> [(key: String, node: TOMLNode)] {
    asked.formUnion(nodes.keys)
    return nodes.sorted { $0.key < $1.key }.map { ($0.key, $0.value) }
  }

  /// Where each value of the table and of those below it is said, by the key's full name.
  var places: [String: SourceLocation] { TableReader.places(nodes, below: "") }

  private static func places(_ nodes: [String: TOMLNode], below prefix: String) -> [String: SourceLocation] {
    var places: [String: SourceLocation] = [:]
    for (key, node) in nodes {
      if case .table(let inner) = node.value {
        places.merge(TableReader.places(inner, below: "\(prefix)\(key).")) { $1 }
      } else {
        places[prefix + key] = node.key
      }
    }
    return places
  }

  /// Reports the keys that nobody asked for, in the order of the file.
  func finish() {
    let unknown = nodes.filter { !asked.contains($0.key) }
      .sorted { ($0.value.key.line, $0.value.key.column) < ($1.value.key.line, $1.value.key.column) }
    for (key, node) in unknown {
      let place = name.isEmpty ? "" : " in \(name)"
      log.add(
        node.key, "unknown key \"\(key)\"\(place)",
        hint: Suggestion.hint(for: key, among: Array(asked), what: "keys here"))
    }
  }
}
