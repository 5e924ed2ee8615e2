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

  /// Types, methods and errors share one set of names; other implementations refuse an interface where two are the same.
  @Test func noNameIsGivenTwice() {
    let names = interfaceDescription.split(separator: "\n").compactMap { line -> Substring? in
      let words = line.split { $0 == " " || $0 == "(" }
      return ["type", "method", "error"].contains(words.first) ? words[1] : nil
    }
    #expect(names.count > 20 && Set(names).count == names.count)
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
    var outlet = Outlet(socket: nil, units: [])
    outlet.interface = PresentationTests.interface
    outlet.port = PresentationTests.port
    let settings = try #require(PresentationTests.port.settings)
    for value in [outlet, PresentationTests.interface, PresentationTests.port, settings, Outlet.InterfaceStatistics()]
      as [Any]
    {
      for child in Mirror(reflecting: value).children {
        #expect(interfaceDescription.contains("\n  \(try #require(child.label)): "), "\(child.label ?? "")")
      }
    }
    let issue = Issue(file: "", line: nil, column: nil, message: "", hint: "")
    let setting = Setting(key: "", value: nil, source: .builtIn)
    let configured = ConfiguredDevice(address: nil, name: nil, driver: nil, entry: "", settings: [])
    for (type, value) in [
      ("Issue", issue), ("Setting", setting), ("ConfiguredDevice", configured),
      ("Driver", DriverDetail(name: "", manifest: "")),
    ] as [(String, Any)] {
      let begin = try #require(interfaceDescription.range(of: "\ntype \(type) (\n"))
      let body = interfaceDescription[begin.upperBound...].prefix { $0 != ")" }
      let fields = body.split(separator: "\n").compactMap { $0.split(separator: ":").first?.drop { $0 == " " } }
      #expect(Mirror(reflecting: value).children.map { $0.label ?? "" } == fields.map(String.init), "\(type)")
    }
  }

  /// What a method takes is what its line of the interface says.
  @Test func everyParameterIsInIt() throws {
    for method in Service.Method.allCases {
      let begin = try #require(interfaceDescription.range(of: "\nmethod \(method.rawValue)("))
      let text = interfaceDescription[begin.upperBound...].prefix { $0 != ")" }
      let names = text.split(separator: ",").compactMap { $0.split(separator: ":").first?.drop { $0 == " " } }
      #expect(names.map(String.init) == method.parameters, "\(method)")
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
  func drivers(_ call: ServiceCall) { call.reply(Service.DriversReply(drivers: [])) }
  func checkConfiguration(_ call: ServiceCall) { call.reply(Service.IssuesReply(issues: [])) }

  func showConfiguration(_ device: String?, _ call: ServiceCall) {
    asked.append("show \(device ?? "all")")
    call.reply(Service.ConfigurationReply(devices: []))
  }

  func attach(_ parameters: Service.AttachParameters, _ call: ServiceCall) {
    asked.append("attach \(parameters.device ?? "-") \(parameters.driver ?? "-") \(parameters.permanent ?? false)")
    call.reply(Service.NoParameters())
  }

  func detach(_ parameters: Service.DetachParameters, _ call: ServiceCall) {
    asked.append("detach \(parameters.device ?? "-") \(parameters.force ?? false)")
    call.reply(Service.NoParameters())
  }

  func resetFailed(_ device: String?, _ call: ServiceCall) {
    asked.append("reset \(device ?? "all")")
    call.reply(Service.DevicesReply(devices: []))
  }

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

  /// Says nothing more, and goes on listening.
  func finishSpeaking() { shutdown(file, Int32(SHUT_WR)) }

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

  /// As `printf ... | socat - UNIX:...` does.
  @Test func whoSaysNothingMoreIsAnsweredAllTheSame() throws {
    let client = try Client()
    client.send(#"{"method":"io.bulkhead.List","parameters":{}}"#)
    client.send(#"{"method":"io.bulkhead.List","parameters":{"all":true}}"#)
    client.finishSpeaking()
    #expect(try client.replies() == [#"{"parameters":{"devices":[]}}"#, #"{"parameters":{"devices":[]}}"#])
    #expect(client.isClosed)
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
    (
      #"{"method":"io.bulkhead.Nothing"}"#,
      #"{"error":"org.varlink.service.MethodNotFound","parameters":{"method":"io.bulkhead.Nothing"}}"#
    ),
    (
      #"{"method":"org.varlink.service.Get"}"#,
      #"{"error":"org.varlink.service.MethodNotFound","parameters":{"method":"org.varlink.service.Get"}}"#
    ),
    (
      #"{"method":"io.elsewhere.List"}"#,
      #"{"error":"org.varlink.service.InterfaceNotFound","parameters":{"interface":"io.elsewhere"}}"#
    ),
    (#"{"method":"List"}"#, #"{"error":"org.varlink.service.InterfaceNotFound","parameters":{"interface":""}}"#),
    (#"{"method":"io.bulkhead.List","parameters":{"al":true}}"#, #""parameter":"al""#),
    (#"{"method":"io.bulkhead.List","parameters":[true]}"#, #""parameter":"parameters""#),
    (#"{"method":"io.bulkhead.Start","parameters":{"device":"x","force":true}}"#, #""parameter":"force""#),
    (#"{"method":"io.bulkhead.Monitor","more":true,"parameters":{"device":"x"}}"#, #""parameter":"device""#),
    (#"{"method":"io.bulkhead.Attach","parameters":{"driver":"nvme"}}"#, #""parameter":"device""#),
    (#"{"method":"io.bulkhead.Detach","parameters":{"device":"x","permanent":"yes"}}"#, #""parameter":"permanent""#),
    (#"{"method":"org.varlink.service.GetInfo","parameters":{"verbose":true}}"#, #""parameter":"verbose""#),
    (#"{"method":"org.varlink.service.GetInterfaceDescription"}"#, #""parameter":"interface""#),
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

  @Test func whoOnlyLooksKeepsNobodyOut() {
    let reader = [uid_t](repeating: 1000, count: VarlinkServer.maximumOfOneUser)
    #expect(!VarlinkServer.isWelcome(1000, besides: reader, owner: 7))
    #expect(VarlinkServer.isWelcome(1000, besides: reader.dropLast(), owner: 7))
    #expect(VarlinkServer.isWelcome(1001, besides: reader, owner: 7))
    let many = (0..<VarlinkServer.maximumConnections).map { uid_t(1000 + $0) }
    #expect(!VarlinkServer.isWelcome(999, besides: many, owner: 7))
    #expect(VarlinkServer.isWelcome(7, besides: many, owner: 7) && VarlinkServer.isWelcome(0, besides: many, owner: 7))
  }

  @Test func onlyRootAndTheOwnerChangeAnything() throws {
    let client = try Client(uid: 1000)
    for method in ["Start", "Stop", "Restart", "Attach", "Detach", "ResetFailed"] {
      client.send(#"{"method":"io.bulkhead.\#(method)","parameters":{"device":"x"}}"#)
    }
    client.send(#"{"method":"io.bulkhead.List"}"#)
    let replies = try client.replies()
    #expect(replies.filter { $0.contains("io.bulkhead.PermissionDenied") }.count == 6)
    #expect(client.handler.asked == ["list false"])
    #expect(Service.Method.allCases.filter(\.changes).count == 6)
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
