import Glibc

/// A moment as it is printed where the day matters too.
public enum LocalTime {
  /// `2026-11-21T09:05:00+0100`: as `journalctl -o short-iso` of Debian 12 has it, in the time zone of whoever reads it.
  /// - Parameter seconds: since 1970.
  public static func text(_ seconds: Int) -> String {
    var time = time_t(seconds)
    var parts = tm()
    localtime_r(&time, &parts)
    var text = [CChar](repeating: 0, count: 64)
    let count = strftime(&text, text.count, "%Y-%m-%dT%H:%M:%S%z", &parts)
    return String(decoding: text.prefix(count).map { UInt8(bitPattern: $0) }, as: UTF8.self)
  }
}
