import CBulkhead
import Glibc
import Testing

@testable import Platform

@Suite struct SharedMemoryTests {
  @Test func cannotBeResizedOrResealed() throws {
    let memory = try SharedMemory(name: "test", size: 5000)
    #expect(memory.mapping.length == 8192)
    #expect(ftruncate(memory.file.number, 0) == -1 && errno == EPERM)
    #expect(ftruncate(memory.file.number, 1 << 20) == -1 && errno == EPERM)
    #expect(memory.mapping.base.load(as: UInt64.self) == 0)
  }

  @Test func twoMappingsShareOneMemory() throws {
    let memory = try SharedMemory(name: "test", size: 4096)
    let other = try MappedMemory(file: memory.file.number, length: 4096)
    memory.mapping.base.storeBytes(of: 0x1234, as: UInt32.self)
    #expect(other.base.load(as: UInt32.self) == 0x1234)
  }
}

@Suite struct PacketSocketTests {
  private func receive(_ socket: Int32, room: Int) throws -> PacketSocket.Reception {
    let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: room, alignment: 8)
    defer { buffer.deallocate() }
    return try PacketSocket.receive(into: buffer, from: socket)
  }

  @Test func messagesKeepTheirBoundsAndCarryFiles() throws {
    let (left, right) = try PacketSocket.pair()
    defer { close(right) }
    let event = try EventDescriptor.make()
    try [UInt8](repeating: 7, count: 100).withUnsafeBytes { try PacketSocket.send($0, files: [event.number], to: left) }
    try [UInt8](repeating: 8, count: 10).withUnsafeBytes { try PacketSocket.send($0, to: left) }
    guard case .message(100, let files) = try receive(right, room: 512) else { throw Failure("test", "first message") }
    #expect(files.count == 1)
    EventDescriptor.signal(files[0])
    #expect(EventDescriptor.drain(event.number) == 1, "the same eventfd")
    #expect(fcntl(files[0], F_GETFD) == FD_CLOEXEC)
    close(files[0])
    guard case .message(10, []) = try receive(right, room: 512) else { throw Failure("test", "second message") }
    guard case .empty = try receive(right, room: 512) else { throw Failure("test", "nothing left") }
    close(left)
    guard case .closed = try receive(right, room: 512) else { throw Failure("test", "closed") }
  }

  @Test func anOversizeMessageIsRefusedWholeAndItsFilesClosed() throws {
    let (left, right) = try PacketSocket.pair()
    defer {
      close(left)
      close(right)
    }
    let event = try EventDescriptor.make()
    let before = openFiles()
    try [UInt8](repeating: 7, count: 100).withUnsafeBytes { try PacketSocket.send($0, files: [event.number], to: left) }
    #expect { try receive(right, room: 99) } throws: { ($0 as? Failure)?.errno == EMSGSIZE }
    #expect(openFiles() == before)
  }

  /// A message of no bytes is the end of the conversation; what came with it is not kept.
  @Test func aMessageOfNothingKeepsNoFiles() throws {
    let (left, right) = try PacketSocket.pair()
    defer {
      close(left)
      close(right)
    }
    let event = try EventDescriptor.make()
    let before = openFiles()
    try [UInt8]().withUnsafeBytes { try PacketSocket.send($0, files: [event.number], to: left) }
    guard case .closed = try receive(right, room: 512) else { throw Failure("test", "closed") }
    #expect(openFiles() == before)
  }

  @Test func sendingToNobodyIsAnErrorNotASignal() throws {
    let (left, right) = try PacketSocket.pair()
    close(right)
    defer { close(left) }
    #expect { try [UInt8(1)].withUnsafeBytes { try PacketSocket.send($0, to: left) } } throws: {
      ($0 as? Failure)?.errno == EPIPE
    }
  }

  private func openFiles() -> Int { (0..<256).filter { fcntl($0, F_GETFD) >= 0 }.count }
}

@Suite struct EventLoopTests {
  @Test func filesTimersAndPollersRun() throws {
    let loop = EventLoop()
    let event = try EventDescriptor.make()
    var log: [String] = []
    loop.watch(event.number) { _ in
      EventDescriptor.drain(event.number)
      log.append("file")
      loop.stop()
    }
    var polls = 0
    loop.poll {
      polls += 1
      return polls < 3
    }
    loop.after(1_000_000) {
      log.append("timer")
      EventDescriptor.signal(event.number)
    }
    try loop.run()
    #expect(log == ["timer", "file"])
    #expect(polls >= 3, "a poller that found work is asked again before sleeping")
  }

  @Test func aHandlerMayRemoveItselfAndOthers() throws {
    let loop = EventLoop()
    let first = try EventDescriptor.make()
    let second = try EventDescriptor.make()
    EventDescriptor.signal(first.number)
    EventDescriptor.signal(second.number)
    var calls = 0
    var tokens: [EventLoop.Token] = []
    for file in [first.number, second.number] {
      tokens.append(
        loop.watch(file) { _ in
          calls += 1
          for token in tokens { loop.remove(token) }
        })
    }
    try loop.turn(waiting: 0)
    try loop.turn(waiting: 0)
    #expect(calls == 1)
  }

  /// Who comes and goes in each round does not take the turn of those behind.
  @Test func everybodyHasATurnInEachRound() throws {
    let loop = EventLoop()
    let first = try EventDescriptor.make()
    let last = try EventDescriptor.make()
    EventDescriptor.signal(first.number)
    EventDescriptor.signal(last.number)
    var log: [String] = []
    var restless: EventLoop.Token?
    func comeAndGo() {
      restless = loop.watch(first.number) { _ in
        log.append("restless")
        if let restless { loop.remove(restless) }
        comeAndGo()
      }
    }
    comeAndGo()
    loop.watch(last.number) { _ in log.append("last") }
    try loop.turn(waiting: 0)
    #expect(log == ["restless", "last"])
    try loop.turn(waiting: 0)
    #expect(log.sorted() == ["last", "last", "restless", "restless"])
  }

  /// Removed before it had its turn: it has none, and nobody else loses theirs.
  @Test func aHandlerMayRemoveWhatIsBeforeAndBehindIt() throws {
    let loop = EventLoop()
    let event = try EventDescriptor.make()
    EventDescriptor.signal(event.number)
    let files = (0..<5).map { _ in dup(event.number) }
    defer { for file in files { close(file) } }
    var log: [Int] = []
    var tokens: [EventLoop.Token] = []
    for (number, event) in files.enumerated() {
      tokens.append(
        loop.watch(event) { _ in
          log.append(number)
          if number == 2 { for gone in [0, 2, 3] { loop.remove(tokens[gone]) } }
        })
    }
    try loop.turn(waiting: 0)
    #expect(log == [0, 1, 2, 4])
  }

  @Test func aRepeatingTimerDoesNotCatchUp() throws {
    let loop = EventLoop()
    var beats = 0
    loop.after(0, every: 1_000_000) { beats += 1 }
    try loop.turn(waiting: 0)
    var pause = timespec(tv_sec: 0, tv_nsec: 20_000_000)
    nanosleep(&pause, nil)
    try loop.turn(waiting: 0)
    #expect(beats == 2, "twenty missed beats are one beat")
  }
}

@Suite struct FailureTests {
  @Test func saysWhatWhereAndWhatToDo() {
    let failure = Failure("vfio-open", "open /dev/vfio/7", errno: EPERM, hint: "run as root")
    #expect("\(failure)" == "vfio-open: open /dev/vfio/7: EPERM (Operation not permitted)\nHint: run as root")
    #expect(Failure.name(of: 99999) == "errno 99999")
  }

  @Test func negativeErrnoIsThrown() throws {
    #expect(try checked(5, "code", "step") == 5)
    #expect(throws: Failure("code", "step", errno: ENOENT)) { try checked(-ENOENT, "code", "step") }
  }
}
