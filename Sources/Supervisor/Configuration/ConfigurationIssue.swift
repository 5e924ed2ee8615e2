/// A place in a file of the administrator.
public struct SourceLocation: Hashable, Sendable, CustomStringConvertible {
  public var file: String
  /// From 1.
  public var line: Int
  /// From 1, in characters; 0 where only the file or the line is meant.
  public var column: Int

  public init(file: String, line: Int = 0, column: Int = 0) {
    self.file = file
    self.line = line
    self.column = column
  }

  /// `file:line`
  var short: String { SourceLocation(file: file, line: line).description }

  /// `file:line:column`, as compilers write it.
  public var description: String {
    if line == 0 { return file }
    return column == 0 ? "\(file):\(line)" : "\(file):\(line):\(column)"
  }
}

/// One thing that is wrong with the configuration: where, what, and what to do.
public struct ConfigurationIssue: Error, Equatable, Sendable, CustomStringConvertible {
  public var location: SourceLocation
  public var message: String
  /// What to do; empty if the message says it all.
  public var hint: String

  public init(_ location: SourceLocation, _ message: String, hint: String = "") {
    self.location = location
    self.message = message
    self.hint = hint
  }

  public var description: String {
    hint.isEmpty ? "\(location): error: \(message)" : "\(location): error: \(message)\n    Hint: \(hint)"
  }
}

/// Collects issues, so that all of them are reported and not just the first.
public final class IssueLog {
  public private(set) var issues: [ConfigurationIssue] = []

  public init() {}

  public var isEmpty: Bool { issues.isEmpty }

  func add(_ location: SourceLocation, _ message: String, hint: String = "") {
    let issue = ConfigurationIssue(location, message, hint: hint)
    // Defaults that go wrong would otherwise be reported once a device, and doubles once for the files and once for the
    // machine.
    if !issues.contains(where: { $0.location == location && $0.message == message }) { issues.append(issue) }
  }
}
