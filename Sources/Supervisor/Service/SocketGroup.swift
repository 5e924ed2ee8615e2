/// The group that may use the sockets beside root.
enum SocketGroup {
  /// The number of a local group, from the text of group(5); -1 if there is none, which leaves a socket to root.
  static func number(of name: String, file: String = "/etc/group") -> Int32 {
    for line in (FileText.contents(file) ?? "").split(separator: "\n") {
      let fields = line.split(separator: ":", omittingEmptySubsequences: false)
      if fields.count >= 3, fields[0] == name, let number = Int32(fields[2]), number >= 0 { return number }
    }
    return -1
  }
}
