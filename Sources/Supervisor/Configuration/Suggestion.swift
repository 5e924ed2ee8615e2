/// "Did you mean": the nearest of the words that would have been right.
enum Suggestion {
  /// The most bytes of a word that are compared: the work grows with the product of both lengths, and what is longer is no
  /// slip of the finger.
  private static let longest = 64

  /// The known word that `word` was probably meant to be; nil if none is near.
  static func nearest(to word: String, among known: [String]) -> String? {
    guard word.utf8.count <= longest else { return nil }
    let ranked = known.filter { $0.utf8.count <= longest }.map {
      (word: $0, distance: distance(word.lowercased(), $0.lowercased()))
    }
    guard let best = ranked.min(by: { ($0.distance, $0.word) < ($1.distance, $1.word) }) else { return nil }
    return best.distance <= max(1, min(word.count, best.word.count) / 3) ? best.word : nil
  }

  /// "did you mean "x"?", or the list of what is known.
  static func hint(for word: String, among known: [String], what: String) -> String {
    if let near = nearest(to: word, among: known) { return "did you mean \"\(near)\"?" }
    return known.isEmpty ? "there are no \(what)" : "known \(what): \(known.sorted().joined(separator: ", "))"
  }

  /// Edits from one word to the other; two neighbours that changed places count as one edit.
  static func distance(_ left: String, _ right: String) -> Int {
    let a = Array(left)
    let b = Array(right)
    var rows = [[Int]](repeating: [Int](repeating: 0, count: b.count + 1), count: a.count + 1)
    for i in 0...a.count { rows[i][0] = i }
    for j in 0...b.count { rows[0][j] = j }
    guard !a.isEmpty, !b.isEmpty else { return max(a.count, b.count) }
    for i in 1...a.count {
      for j in 1...b.count {
        let substitution = rows[i - 1][j - 1] + (a[i - 1] == b[j - 1] ? 0 : 1)
        rows[i][j] = min(rows[i - 1][j] + 1, rows[i][j - 1] + 1, substitution)
        if i > 1, j > 1, a[i - 1] == b[j - 2], a[i - 2] == b[j - 1] {
          rows[i][j] = min(rows[i][j], rows[i - 2][j - 2] + 1)
        }
      }
    }
    return rows[a.count][b.count]
  }
}
