import ArgumentParser
import Control
import Glibc

/// What every verb understands.
struct GlobalOptions: ParsableArguments {
  @Flag(help: "Print JSON.")
  var json = false

  @Option(
    name: .customLong("socket"),
    help: "Socket of bulkheadd. (default: of the user's own daemon if it runs, else of the system's)")
  var socketPath: String?

  var socket: String { socketPath ?? RuntimeFolder.clientSocket }

  @Flag(help: "Leave out the line of column titles.")
  var noLegend = false

  /// Colours on a terminal only, and not where NO_COLOR is set (https://no-color.org).
  var style: Style {
    Style(isColoured: isatty(STDOUT_FILENO) == 1 && getenv("NO_COLOR") == nil && !json)
  }

  /// Calls a method; reports a problem and throws the exit status.
  func call<Parameters: Codable & Sendable, Value: Decodable>(
    _ method: Service.Method, _ parameters: Parameters, as type: Value.Type = Value.self
  ) throws -> Value {
    do throws(VarlinkClient.Problem) {
      return try VarlinkClient(socket: socket).call(method, parameters)
    } catch { throw error.report() }
  }

  /// Start, Stop or Restart, and what came of it.
  func operate(_ method: Service.Method, _ parameters: some Codable & Sendable) throws {
    let reply: Service.DeviceReply = try call(method, parameters)
    if json { return print(JSON.pretty(reply.device)) }
    print(DeviceTable.text([reply.device], legend: !noLegend, style: style), terminator: "")
  }
}
