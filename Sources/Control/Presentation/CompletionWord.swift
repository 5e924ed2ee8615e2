/// A word that a shell may complete to.
public enum CompletionWord {
  /// As a completion script takes it: zsh's `_describe` takes a colon for the beginning of a description, unless there is a
  /// backslash before it, and addresses have two.
  public static func text(_ word: String, isForZsh: Bool) -> String {
    guard isForZsh else { return word }
    return String(word.flatMap { $0 == ":" || $0 == "\\" ? ["\\", $0] : [$0] })
  }
}
