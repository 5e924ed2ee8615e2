import Control

/// One call, to be answered once.
final class ServiceCall {
  private let connection: VarlinkConnection
  private let isOneway: Bool
  private var isAnswered = false
  let wantsMore: Bool
  var uid: UInt32 { connection.uid }

  init(connection: VarlinkConnection, head: Varlink.CallHead) {
    self.connection = connection
    isOneway = head.oneway ?? false
    wantsMore = head.more ?? false
  }

  func reply(_ parameters: some Encodable) { end(Varlink.Reply(parameters)) }

  func fail(_ error: ServiceError) { end(Varlink.Reply(error.parameters, error: error.name.qualifiedName)) }

  /// An error of varlink itself.
  func fail(_ error: String, _ parameters: [String: String]) {
    end(Varlink.Reply(parameters, error: "org.varlink.service.\(error)"))
  }

  /// One of many replies.
  func send(_ parameters: some Encodable) {
    if !isAnswered { connection.send(Varlink.Reply(parameters, continues: true)) }
  }

  func whenClosed(_ handler: @escaping () -> Void) { connection.whenClosed.append(handler) }

  private func end(_ reply: Varlink.Reply<some Encodable>) {
    guard !isAnswered else { return }
    isAnswered = true
    connection.finish(isOneway ? nil : reply)
  }
}
