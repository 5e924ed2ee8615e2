extension SeccompPolicy {
  /// The policy as a Markdown page: one row for each rule, with its reason.
  public var markdown: String {
    var page = """
      # System calls of the \(title)

      Everything that is not in this table fails with EPERM. A call of another architecture's table kills the process.

      | call | only when | reason |
      | --- | --- | --- |

      """
    for rule in rules {
      let conditions = rule.conditions.map(\.text).joined(separator: "; ")
      page += "| `\(rule.call)` | \(conditions.isEmpty ? "always" : conditions) | \(rule.reason) |\n"
    }
    return page
  }
}
