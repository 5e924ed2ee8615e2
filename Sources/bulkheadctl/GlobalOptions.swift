import ArgumentParser
import Control
import Glibc

/// What every verb understands.
struct GlobalOptions: ParsableArguments {
  @Flag(help: "Print JSON (not metrics, which have a format of their own).")
  var json = false

  @Option(
    name: .customLong("socket"),
    help: "Socket of bulkheadd. (default: of the user's own daemon if it runs, else of the system's)")
  var socketPath: String?

  var socket: String { socketPath ?? RuntimeFolder.clientSocket }

  @Flag(help: "Leave out the line of column titles.")
  var noLegend = false

  func validate() throws {
    guard let socketPath else { return }
    if socketPath.isEmpty { throw ValidationError("--socket needs a path") }
    if socketPath.utf8.count > VarlinkClient.longestPath {
      throw ValidationError("--socket: the path of a socket has at most \(VarlinkClient.longestPath) bytes")
    }
  }

  /// Colours on a terminal only.
  var style: Style {
    guard isatty(STDOUT_FILENO) == 1, !json else { return .plain }
    return Style(noColour: Terminal.variable("NO_COLOR"), terminal: Terminal.variable("TERM"))
  }

  /// Calls a method; reports a problem and throws the exit status.
  func call<Parameters: Codable & Sendable, Value: Decodable>(
    _ method: Service.Method, _ parameters: Parameters, as type: Value.Type = Value.self
  ) throws -> Value {
    do throws(VarlinkClient.Problem) {
      return try VarlinkClient(socket: socket).call(method, parameters)
    } catch { throw error.report() }
  }

  /// Asks the daemon, or where there is none, looks for itself. A socket that was named is to be the one that answers.
  /// - Parameters:
  ///   - isLocal: do not ask.
  ///   - source: who has told what is shown, if not the daemon; nil: it makes no difference to the reader.
  func ask<Parameters: Codable & Sendable, Reply: Decodable, Value>(
    _ method: Service.Method, _ parameters: Parameters, unless isLocal: Bool, _ value: (Reply) -> Value,
    else look: () throws -> Value, source: String? = "the files say"
  ) throws -> Value {
    if isLocal { return try look() }
    do throws(VarlinkClient.Problem) {
      let reply: Reply = try VarlinkClient(socket: socket).call(method, parameters)
      return value(reply)
    } catch {
      guard error.isAbsence, socketPath == nil else { throw error.report() }
    }
    if let source { writeError("bulkheadctl: bulkheadd does not answer; this is what \(source)") }
    return try look()
  }

  /// Changes the state of a device, and shows what came of it.
  func operate(_ method: Service.Method, _ parameters: some Codable & Sendable) throws {
    let reply: Service.DeviceReply = try call(method, parameters)
    if json { return print(JSON.pretty(reply.device)) }
    print(DeviceTable.text([reply.device], legend: !noLegend, style: style), terminator: "")
  }
}
