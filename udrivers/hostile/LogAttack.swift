import DriverKit
import Glibc

extension HostileDriver {
  /// What would be fields of the journal, lines of other processes, levels and commands of a terminal if it were taken as it
  /// is; past the kit, which writes no such thing.
  func forgeLines() {
    let lines = [
      "error: forged\nBULKHEAD_DEVICE=0000:ff:00.0\nMESSAGE=forged", "<0>forged: emergency",
      "MESSAGE\n\u{6}\u{0}\u{0}\u{0}\u{0}\u{0}\u{0}\u{0}forged", "forged \u{1b}]0;title\u{7}\u{1b}[2J\r\u{9b}31m",
      "forged " + String(repeating: "x", count: 3000),
    ]
    for line in lines {
      let bytes = Array((line + "\n").utf8)
      _ = write(DriverFile.log, bytes, bytes.count)
    }
  }
}
