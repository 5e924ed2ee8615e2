import ArgumentParser
import Control
import Glibc

struct Monitor: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Print what happens from now on, until interrupted; with --json one object a line.")

  @OptionGroup var options: GlobalOptions

  func run() throws {
    // Nobody reads any more: that is an end like another, also where it was ignored before us, as systemd does.
    signal(SIGPIPE, SIG_DFL)
    let style = options.style
    do throws(VarlinkClient.Problem) {
      try VarlinkClient(socket: options.socket).stream(.monitor, as: Service.EventReply.self) { reply in
        let line =
          options.json
          ? String(decoding: JSON.encoded(reply.event), as: UTF8.self)
          : EventLine.text(reply.event, time: LocalTime.text(reply.event.time), style: style)
        return Output.emit(line + "\n")
      }
    } catch { throw error.report() }
  }
}
