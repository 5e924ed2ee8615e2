import TOMLKit

/// A TOML value with its place.
struct TOMLNode {
  indirect enum Value {
    case string(String)
    case integer(Int)
    case boolean(Bool)
    case array([TOMLNode])
    case table([String: TOMLNode])
    /// Floating point and the kinds of dates, which nothing here wants; with its name.
    case unwanted(String)
  }

  var value: Value
  /// Where its key is; for elements of an array, where it begins.
  var key: SourceLocation
  /// Where it begins.
  var location: SourceLocation

  /// For messages: `the integer 5`.
  var words: String {
    switch value {
    case .string(let text): "the text \"\(text)\""
    case .integer(let number): "the integer \(number)"
    case .boolean(let flag): "\(flag)"
    case .array: "an array"
    case .table: "a table"
    case .unwanted(let name): "a \(name)"
    }
  }
}

/// One TOML file.
enum TOMLDocument {
  /// Parses `text`. A syntax error is added to `log`, and the result is nil.
  static func parse(_ text: String, file: String, log: IssueLog) -> TOMLNode? {
    let top = SourceLocation(file: file, line: 1, column: 1)
    guard !text.utf8.contains(0) else {
      log.add(SourceLocation(file: file), "the file contains a zero byte", hint: "is this a text file?")
      return nil
    }
    do {
      let table = try TOMLTable(string: text)
      let places = KeyLocator(text, file: file).places
      return withExtendedLifetime(table) {
        TOMLNode(value: convert(table, [], top, places), key: top, location: top)
      }
    } catch let error as TOMLParseError {
      let begin = error.source.begin
      let location = SourceLocation(file: file, line: begin.line, column: begin.column)
      log.add(location, "syntax error: \(error.description)", hint: "see https://toml.io for the syntax of TOML")
    } catch {
      log.add(SourceLocation(file: file), "\(error)")
    }
    return nil
  }

  private static func convert(
    _ table: TOMLTable, _ path: KeyLocator.Path, _ at: SourceLocation, _ places: [KeyLocator.Path: KeyLocator.Place]
  ) -> TOMLNode.Value {
    var nodes: [String: TOMLNode] = [:]
    for key in table.keys {
      guard let value = table[key]?.tomlValue else { continue }
      nodes[key] = node(value, path + [key], at, places)
    }
    return .table(nodes)
  }

  private static func node(
    _ value: TOMLValue, _ path: KeyLocator.Path, _ parent: SourceLocation,
    _ places: [KeyLocator.Path: KeyLocator.Place]
  ) -> TOMLNode {
    let place = places[path] ?? KeyLocator.Place(key: parent, value: parent)
    return TOMLNode(value: convert(value, path, place.value, places), key: place.key, location: place.value)
  }

  private static func convert(
    _ value: TOMLValue, _ path: KeyLocator.Path, _ at: SourceLocation, _ places: [KeyLocator.Path: KeyLocator.Place]
  ) -> TOMLNode.Value {
    if let text = value.string { return .string(text) }
    if let number = value.int { return .integer(number) }
    if let flag = value.bool { return .boolean(flag) }
    if let table = value.table { return convert(table, path, at, places) }
    if let array = value.array {
      return .array(
        (0..<array.count).map { node(array[$0].tomlValue, path + ["#\($0)"], at, places) })
    }
    return .unwanted(value.type.description)
  }
}
