import ArgumentParser
import Control
import Glibc

struct Monitor: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Print what happens from now on, until interrupted; with --json one object a line.")

  @OptionGroup var options: GlobalOptions

  func run() throws {
    let style = options.style
    do throws(VarlinkClient.Problem) {
      try VarlinkClient(socket: options.socket).stream(.monitor, as: Service.EventReply.self) { reply in
        if options.json {
          Monitor.emit(String(decoding: JSON.encoded(reply.event), as: UTF8.self))
        } else {
          Monitor.emit(EventLine.text(reply.event, time: Monitor.timeOfDay(reply.event.time), style: style))
        }
        return true
      }
    } catch { throw error.report() }
  }

  /// At once, also into a pipe.
  private static func emit(_ line: String) {
    let bytes = Array((line + "\n").utf8)
    _ = write(STDOUT_FILENO, bytes, bytes.count)
  }

  private static func timeOfDay(_ seconds: Int) -> String {
    var time = time_t(seconds)
    var parts = tm()
    localtime_r(&time, &parts)
    return [parts.tm_hour, parts.tm_min, parts.tm_sec].map { $0 < 10 ? "0\($0)" : "\($0)" }.joined(separator: ":")
  }
}
