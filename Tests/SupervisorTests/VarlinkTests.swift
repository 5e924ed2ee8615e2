import CBulkhead
import Control
import Glibc
import Platform
import Testing

@testable import Supervisor

@Suite struct VarlinkFramerTests {
  @Test func messagesAreCutAtZeroBytes() throws {
    var framer = VarlinkFramer(limit: 10)
    #expect(try framer.take(Array("ab".utf8)) == [])
    #expect(try framer.take(Array("c\0\0de\0f".utf8)) == [Array("abc".utf8), [], Array("de".utf8)])
    #expect(framer.pending == 1)
  }

  @Test func oversizeIsRefused() throws {
    var framer = VarlinkFramer(limit: 4)
    #expect(try framer.take(Array("abcd\0".utf8)).count == 1)
    #expect(throws: VarlinkFramer.Oversize.self) { try framer.take(Array("abcde".utf8)) }
  }
}

@Suite struct InterfaceTests {
  @Test func theTextIsTheFile() throws {
    let root = #filePath.components(separatedBy: "/Tests/SupervisorTests/")[0]
    let file = try #require(FileText.contents("\(root)/Sources/Control/io.bulkhead.varlink"))
    #expect(file == interfaceDescription)
  }

  @Test func everyMethodAndErrorIsInIt() {
    for method in Service.Method.allCases { #expect(interfaceDescription.contains("\nmethod \(method.rawValue)(")) }
    for error in ServiceError.Name.allCases { #expect(interfaceDescription.contains("\nerror \(error.rawValue) (")) }
  }

  /// The fields that are sent are those that the interface names.
  @Test func everyFieldIsInIt() throws {
    var device = Device(address: "a", vendorID: "", deviceID: "", vendor: "", model: "", className: "", state: "idle")
    device.counters = Counters()
    let mirror = Mirror(reflecting: device)
    for child in mirror.children { #expect(interfaceDescription.contains("\n  \(try #require(child.label)): ")) }
    for child in Mirror(reflecting: Counters()).children {
      #expect(interfaceDescription.contains("\n  \(try #require(child.label)): int"))
    }
  }
}

/// Answers at once, and remembers what it was asked.
private final class FakeHandler: ServiceHandler {
  var asked: [String] = []
  var monitorCall: ServiceCall?

  func list(all: Bool, _ call: ServiceCall) {
    asked.append("list \(all)")
    call.reply(Service.DevicesReply(devices: []))
  }

  func status(_ device: String?, _ call: ServiceCall) {
    asked.append("status \(device ?? "all")")
    call.fail(ServiceError(.noSuchDevice, device: device ?? "", message: "none", hint: "look"))
  }

  func check(_ device: String?, _ call: ServiceCall) { call.reply(Service.ChecksReply(checks: [])) }
  func monitor(_ call: ServiceCall) { monitorCall = call }

  func operate(_ method: Service.Method, _ device: String, force: Bool, _ call: ServiceCall) {
    asked.append("\(method) \(device) \(force)")
    call.reply(
      Service.DeviceReply(
        device: Device(address: device, vendorID: "", deviceID: "", vendor: "", model: "", className: "", state: "idle")
      ))
  }
}

/// A client's end of a real socket pair with a connection of the service on the other.
private final class Client {
  let loop = EventLoop()
  let handler = FakeHandler()
  private(set) var connection: VarlinkConnection?
  private(set) var isClosed = false
  private let file: Int32
  private var framer = VarlinkFramer(limit: 1 << 26)

  init(uid: uid_t = 0, owner: uid_t = 0) throws {
    var ends: [Int32] = [-1, -1]
    try #require(bh_stream_pair(&ends) == 0)
    _ = bh_set_nonblocking(ends[0], 1)
    _ = bh_set_nonblocking(ends[1], 1)
    file = ends[0]
    let dispatch = ServiceDispatch(version: "1", owner: owner, handler: handler)
    connection = VarlinkConnection(
      file: ends[1], uid: uid, loop: loop, onCall: { dispatch.take($0, $1) },
      onClose: { [weak self] _ in self?.isClosed = true })
  }

  deinit { close(file) }

  /// Writes what fits into the socket's buffer.
  func send(_ bytes: [UInt8]) {
    _ = bytes.withUnsafeBytes { Glibc.send(file, $0.baseAddress, $0.count, Int32(MSG_NOSIGNAL)) }
  }

  func send(_ text: String) { send(Array(text.utf8) + [0]) }

  /// Turns the loop until nothing is left to do.
  func settle() throws { for _ in 0..<200 { try loop.turn(waiting: 0) } }

  func replies() throws -> [String] {
    try settle()
    var chunk = [UInt8](repeating: 0, count: 1 << 20)
    let count = recv(file, &chunk, chunk.count, 0)
    return try framer.take(chunk.prefix(max(0, count))).map { String(decoding: $0, as: UTF8.self) }
  }
}

@Suite struct VarlinkServiceTests {
  @Test func callsAreAnsweredInOrder() throws {
    let client = try Client()
    client.send(#"{"method":"io.bulkhead.List","parameters":{}}"#)
    client.send(#"{"method":"io.bulkhead.List","parameters":{"all":true}}"#)
    client.send(#"{"method":"io.bulkhead.Status","parameters":{"device":"x"}}"#)
    let replies = try client.replies()
    #expect(client.handler.asked == ["list false", "list true", "status x"])
    #expect(
      replies == [
        #"{"parameters":{"devices":[]}}"#, #"{"parameters":{"devices":[]}}"#,
        #"{"error":"io.bulkhead.NoSuchDevice","parameters":{"device":"x","hint":"look","message":"none"}}"#,
      ])
  }

  @Test func parametersMayBeLeftOut() throws {
    let client = try Client()
    client.send(#"{"method":"io.bulkhead.List"}"#)
    #expect(try client.replies() == [#"{"parameters":{"devices":[]}}"#])
  }

  @Test func theServiceDescribesItself() throws {
    let client = try Client()
    client.send(#"{"method":"org.varlink.service.GetInfo"}"#)
    client.send(#"{"method":"org.varlink.service.GetInterfaceDescription","parameters":{"interface":"io.bulkhead"}}"#)
    client.send(#"{"method":"org.varlink.service.GetInterfaceDescription","parameters":{"interface":"io.x"}}"#)
    let replies = try client.replies()
    try #require(replies.count == 3)
    #expect(replies[0].contains(#""interfaces":["io.bulkhead","org.varlink.service"]"#))
    #expect(replies[1].contains("interface io.bulkhead\\n"))
    #expect(replies[2].contains("org.varlink.service.InterfaceNotFound"))
  }

  @Test(arguments: [
    (#"{"method":"io.bulkhead.Nothing"}"#, "org.varlink.service.MethodNotFound"),
    (#"{"method":"io.bulkhead.Start"}"#, "org.varlink.service.InvalidParameter"),
    (#"{"method":"io.bulkhead.Start","parameters":{"device":7}}"#, #""parameter":"device""#),
    (#"{"method":"io.bulkhead.List","parameters":{"all":"yes"}}"#, #""parameter":"all""#),
    (#"{"method":"io.bulkhead.Monitor"}"#, "org.varlink.service.ExpectedMore"),
  ])
  func wrongCallsAreAnswered(_ call: String, _ piece: String) throws {
    let client = try Client()
    client.send(call)
    let replies = try client.replies()
    #expect(replies.count == 1)
    #expect(replies.first?.contains(piece) == true, "\(replies)")
    #expect(!client.isClosed)
  }

  @Test func onlyRootAndTheOwnerChangeAnything() throws {
    let client = try Client(uid: 1000)
    for method in ["Start", "Stop", "Restart"] {
      client.send(#"{"method":"io.bulkhead.\#(method)","parameters":{"device":"x"}}"#)
    }
    client.send(#"{"method":"io.bulkhead.List"}"#)
    let replies = try client.replies()
    #expect(replies.filter { $0.contains("io.bulkhead.PermissionDenied") }.count == 3)
    #expect(client.handler.asked == ["list false"])
    let root = try Client()
    root.send(#"{"method":"io.bulkhead.Stop","parameters":{"device":"x","force":true}}"#)
    #expect(try root.replies().count == 1)
    #expect(root.handler.asked == ["stop x true"])
    let owner = try Client(uid: 1000, owner: 1000)
    owner.send(#"{"method":"io.bulkhead.Start","parameters":{"device":"x"}}"#)
    #expect(try owner.replies().count == 1)
    #expect(owner.handler.asked == ["start x false"])
  }

  @Test(arguments: ["garbage", "{}", "[]", "null", "{\"method\":3}", "\u{1b}[2J", "{\"method\":\"", ""])
  func garbageEndsTheConnection(_ text: String) throws {
    let client = try Client()
    client.send(text)
    #expect(try client.replies() == [])
    #expect(client.isClosed)
  }

  @Test func deepNestingDoesNoHarm() throws {
    let client = try Client()
    client.send("{\"method\":\"io.bulkhead.List\",\"parameters\":" + String(repeating: "[", count: 20_000))
    _ = try client.replies()
    #expect(client.isClosed)
    #expect(client.handler.asked == [])
  }

  @Test func anEndlessCallEndsTheConnection() throws {
    let client = try Client()
    for _ in 0..<((Varlink.maximumCall >> 12) + 2) {
      client.send([UInt8](repeating: 0x20, count: 4096))
      try client.settle()
    }
    #expect(client.isClosed)
  }

  @Test func aFloodOfCallsEndsTheConnection() throws {
    let client = try Client()
    // The first is never answered, so the others pile up.
    client.send(#"{"method":"io.bulkhead.Monitor","more":true}"#)
    try client.settle()
    for _ in 0...VarlinkConnection.maximumCalls { client.send("{}") }
    try client.settle()
    #expect(client.isClosed)
  }

  @Test func aClientThatNeverReadsIsDropped() throws {
    let client = try Client()
    client.send(#"{"method":"io.bulkhead.Monitor","more":true}"#)
    try client.settle()
    let call = try #require(client.handler.monitorCall)
    let event = Service.Event(
      time: 0, kind: "state", address: "a", name: nil, state: nil, text: String(repeating: "x", count: 100_000))
    for _ in 0..<100 where !client.isClosed { call.send(Service.EventReply(event: event)) }
    #expect(client.isClosed)
    // And whoever streams goes on without harm.
    call.send(Service.EventReply(event: event))
  }

  @Test func streamsAreMarked() throws {
    let client = try Client()
    client.send(#"{"method":"io.bulkhead.Monitor","more":true}"#)
    try client.settle()
    let event = Service.Event(time: 1, kind: "state", address: "a", name: nil, state: "idle", text: "t")
    client.handler.monitorCall?.send(Service.EventReply(event: event))
    #expect(
      try client.replies() == [
        #"{"continues":true,"parameters":{"event":{"address":"a","kind":"state","state":"idle","text":"t","time":1}}}"#
      ])
  }
}
