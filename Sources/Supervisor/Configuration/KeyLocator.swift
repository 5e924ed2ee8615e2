/// Finds the place of each key and value in a TOML document that is known to be well-formed.
///
/// The TOML library checks the syntax but does not tell where a key was; messages to an administrator must.
struct KeyLocator {
  /// A path into the document: keys, and `#0` for the first element of an array.
  typealias Path = [String]

  /// Where a key and its value begin.
  struct Place: Equatable {
    var key: SourceLocation
    var value: SourceLocation
  }

  private(set) var places: [Path: Place] = [:]
  private let scalars: [Unicode.Scalar]
  private let file: String
  private var index = 0
  private var line = 1
  private var column = 1
  /// How many elements each array of tables has so far.
  private var elements: [Path: Int] = [:]

  init(_ text: String, file: String) {
    scalars = Array(text.unicodeScalars)
    self.file = file
    if scalars.first == "\u{feff}" { index = 1 }
    var table: Path = []
    while skipBlank(lines: true) {
      if peek() == "[" { table = header() } else { pair(in: table) }
    }
  }

  private var here: SourceLocation { SourceLocation(file: file, line: line, column: column) }

  private func peek(_ ahead: Int = 0) -> Unicode.Scalar? {
    index + ahead < scalars.count ? scalars[index + ahead] : nil
  }

  private mutating func advance(_ count: Int = 1) {
    for _ in 0..<count where index < scalars.count {
      if scalars[index] == "\n" {
        line += 1
        column = 1
      } else {
        column += 1
      }
      index += 1
    }
  }

  /// Skips blanks and comments; true if something is left.
  @discardableResult
  private mutating func skipBlank(lines: Bool) -> Bool {
    while let next = peek() {
      if next == " " || next == "\t" || (lines && (next == "\n" || next == "\r")) {
        advance()
      } else if next == "#" {
        while let inside = peek(), inside != "\n" {
          _ = inside
          advance()
        }
      } else {
        return true
      }
    }
    return false
  }

  /// `[a.b]` or `[[a.b]]`; gives the path of the table that it opens.
  private mutating func header() -> Path {
    let isArray = peek(1) == "["
    let start = here
    advance(isArray ? 2 : 1)
    var path: Path = []
    let keys = dottedKey()
    for (position, key) in keys.enumerated() {
      path.append(key.name)
      let isLast = position == keys.count - 1
      if isLast, isArray {
        note(path, key: key.location, value: start)
        let element = elements[path, default: 0]
        elements[path] = element + 1
        path.append("#\(element)")
        note(path, key: start, value: start)
      } else {
        note(path, key: key.location, value: isLast ? start : key.location)
        // A header below an array of tables means its last element.
        if let count = elements[path] { path.append("#\(count - 1)") }
      }
    }
    while let next = peek(), next == "]" || next == " " || next == "\t" {
      _ = next
      advance()
    }
    return path
  }

  private mutating func note(_ path: Path, key: SourceLocation, value: SourceLocation) {
    if places[path] == nil { places[path] = Place(key: key, value: value) }
  }

  private mutating func pair(in table: Path) {
    let keys = dottedKey()
    guard !keys.isEmpty else {
      advance()
      return
    }
    skipBlank(lines: false)
    if peek() == "=" { advance() }
    skipBlank(lines: false)
    var path = table
    for key in keys {
      path.append(key.name)
      note(path, key: key.location, value: here)
    }
    value(at: path)
  }

  private mutating func dottedKey() -> [(name: String, location: SourceLocation)] {
    var keys: [(name: String, location: SourceLocation)] = []
    while true {
      skipBlank(lines: false)
      let location = here
      guard let name = simpleKey() else { return keys }
      keys.append((name, location))
      skipBlank(lines: false)
      guard peek() == "." else { return keys }
      advance()
    }
  }

  private mutating func simpleKey() -> String? {
    if peek() == "\"" || peek() == "'" { return string() }
    var name = String.UnicodeScalarView()
    while let next = peek(), next.properties.isAlphabetic || ("0"..."9").contains(next) || next == "_" || next == "-" {
      name.append(next)
      advance()
    }
    return name.isEmpty ? nil : String(name)
  }

  private mutating func value(at path: Path) {
    switch peek() {
    case "\"", "'": _ = string()
    case "[": array(at: path)
    case "{": inlineTable(at: path)
    default:
      while let next = peek(), !",]}#\r\n".unicodeScalars.contains(next) {
        _ = next
        advance()
      }
    }
  }

  private mutating func array(at path: Path) {
    advance()
    var element = 0
    while skipBlank(lines: true), peek() != "]" {
      let start = index
      note(path + ["#\(element)"], key: here, value: here)
      value(at: path + ["#\(element)"])
      element += 1
      skipBlank(lines: true)
      if peek() == "," || index == start { advance() }
    }
    advance()
  }

  private mutating func inlineTable(at path: Path) {
    advance()
    while skipBlank(lines: true), peek() != "}" {
      let start = index
      pair(in: path)
      skipBlank(lines: true)
      if peek() == "," || index == start { advance() }
    }
    advance()
  }

  /// A string of any of the four kinds, escapes resolved as far as keys need it.
  private mutating func string() -> String {
    guard let quote = peek() else { return "" }
    let isLong = peek(1) == quote && peek(2) == quote
    var text = String.UnicodeScalarView()
    advance(isLong ? 3 : 1)
    while let next = peek() {
      if next == quote, !isLong || (peek(1) == quote && peek(2) == quote) {
        advance(isLong ? 3 : 1)
        // Up to two quotes may stand before the closing three.
        while isLong, peek() == quote { advance() }
        break
      }
      if next == "\\", quote == "\"" {
        advance()
        if let escaped = peek() { text.append(escaped) }
      } else {
        text.append(next)
      }
      advance()
    }
    return String(text)
  }
}
