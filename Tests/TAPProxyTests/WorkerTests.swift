import Broker
import CBulkhead
import Glibc
import Platform
import Protocol
import Testing
import Virtqueue

@testable import TAPProxy

/// A TAP in memory.
final class FakeTAP {
  var toDriver: [[UInt8]] = []
  var fromDriver: [[UInt8]] = []
  /// What the kernel says to a frame, instead of taking it.
  var answer: Int?
}

struct FakePort: FramePort {
  unowned let tap: FakeTAP

  func receive(_ parts: UnsafePointer<bh_part>, count: Int) -> Int {
    guard !tap.toDriver.isEmpty else { return -Int(EAGAIN) }
    var frame = tap.toDriver.removeFirst()[...]
    var got = 0
    for index in 0..<count {
      let length = min(frame.count, parts[index].length)
      frame.prefix(length).withUnsafeBytes {
        if let from = $0.baseAddress, length > 0 { memcpy(parts[index].base, from, length) }
      }
      frame = frame.dropFirst(length)
      got += length
    }
    return got
  }

  func send(_ parts: UnsafePointer<bh_part>, count: Int) -> Int {
    if let answer = tap.answer { return answer }
    var frame: [UInt8] = []
    for index in 0..<count { frame += UnsafeRawBufferPointer(start: parts[index].base, count: parts[index].length) }
    tap.fromDriver.append(frame)
    return frame.count
  }
}

/// The worker between a driver in this process and a TAP in memory.
final class WorkerRig {
  let loop = EventLoop()
  let tap = FakeTAP()
  let driver: DriverSide
  let worker: TAPWorker<FakePort>
  /// Stands for the TAP's file.
  private let file: Descriptor

  init(queueSize: Int = 16) throws {
    driver = try DriverSide(layout: SlottedQueueLayout(queueSize: queueSize, slots: 0, slotSize: 0))
    worker = TAPWorker(loop: loop, pairs: 1, spin: 0)
    file = try EventDescriptor.make()
    worker.start(driver.queues, ports: [(FakePort(tap: tap), file.number)])
  }

  deinit { worker.stop() }

  /// What the loop does until it would sleep.
  func settle() { while worker.poll() {} }

  static let header = [UInt8](repeating: 0, count: NetworkClass.headerSize)
  static func frame(_ length: Int) -> [UInt8] { (0..<length).map { UInt8(truncatingIfNeeded: $0 &* 7) } }
}

@Suite struct WorkerTests {
  @Test func framesCrossBothWays() throws {
    let rig = try WorkerRig()
    let frame = WorkerRig.frame(100)
    rig.driver.offerBuffer(3, offset: 8192)
    rig.tap.toDriver = [WorkerRig.header + frame]
    rig.driver.send(frame, at: 0, pieces: 3)
    rig.settle()
    #expect(rig.tap.fromDriver == [WorkerRig.header + frame])
    let (sent, came) = (try rig.driver.next(.inbound), try rig.driver.next(.outbound))
    #expect(sent?.id == 0 && sent?.length == 0)
    #expect(came?.id == 3 && came?.length == 112)
    #expect(rig.driver[8192 + 12, 100] == frame)
    let counters = rig.worker.counters
    #expect(counters.framesOut == 1 && counters.framesIn == 1 && counters.bytesOut == 100 && counters.bytesIn == 100)
    #expect(counters.refused == 0 && counters.cut == 0 && rig.worker.fault == nil)
  }

  @Test func framesWaitForBuffersAndForRoom() throws {
    let rig = try WorkerRig()
    rig.tap.toDriver = [WorkerRig.header + WorkerRig.frame(60)]
    rig.settle()
    #expect(rig.tap.toDriver.count == 1, "without a buffer the kernel keeps it")
    rig.driver.offerBuffer(0, offset: 0)
    rig.settle()
    #expect(try rig.driver.next(.outbound)?.length == 72)
    rig.tap.answer = -Int(EAGAIN)
    rig.driver.send(WorkerRig.frame(60), at: 4096)
    rig.settle()
    #expect(try rig.driver.next(.inbound) == nil)
    rig.tap.answer = nil
    rig.settle()
    #expect(try rig.driver.next(.inbound) != nil)
    #expect(rig.tap.fromDriver.count == 1)
  }

  @Test func asksForWakesWhenItSleepsAndWakesWhoAsks() throws {
    let rig = try WorkerRig()
    rig.settle()
    #expect(!rig.driver.arm(.inbound))
    rig.driver.send(WorkerRig.frame(60))
    #expect(EventDescriptor.drain(rig.driver.queues.calls[1]) == 1, "the first frame wakes the worker")
    rig.settle()
    #expect(rig.driver.wakes(.inbound) == 1)
    #expect(rig.driver.wakes(.outbound) == 0, "nothing was given back there")
  }

  @Test func aFrameThatDoesNotFitIsDroppedAndItsBufferKept() throws {
    let rig = try WorkerRig()
    rig.driver.offerBuffer(0, offset: 0, length: 64)
    rig.tap.toDriver = [WorkerRig.header + WorkerRig.frame(200), WorkerRig.header + WorkerRig.frame(20)]
    rig.settle()
    #expect(rig.worker.counters.cut == 1)
    #expect(try rig.driver.next(.outbound)?.length == 32)
  }

  @Test(arguments: [0, 1, 11, 12, 25]) func whatIsTooShortIsNoFrame(length: Int) throws {
    let rig = try WorkerRig()
    rig.driver.offer(.inbound, [VirtqueueDescriptor(address: DriverSide.address(0), length: UInt32(length))])
    rig.settle()
    #expect(rig.worker.counters.invalid == 1 && rig.worker.counters.refused == 1)
    #expect(rig.tap.fromDriver.isEmpty && rig.worker.fault == nil)
    #expect(try rig.driver.next(.inbound) != nil, "the driver gets its memory back")
  }

  @Test func whatIsTooLongIsNoFrame() throws {
    let rig = try WorkerRig()
    let limit = NetworkClass.headerSize + NetworkClass.maximumSegmentedFrame
    for (length, invalid) in [(limit, 0), (limit + 1, 1), (DriverSide.arenaSize, 2)] {
      rig.driver.offer(.inbound, [VirtqueueDescriptor(address: DriverSide.address(0), length: UInt32(length))])
      rig.settle()
      #expect(rig.worker.counters.invalid == invalid)
      #expect(try rig.driver.next(.inbound) != nil)
    }
    // A segment size counts in the kernel where more than that follows the IP and TCP headers: never for 65535, which means
    // something else there (GSO_BY_FRAGS).
    #expect(NetworkClass.maximumSegmentedFrame - 20 - 20 <= 0xFFFF)
  }

  @Test func whatTheKernelRefusesIsCounted() throws {
    let rig = try WorkerRig()
    rig.tap.answer = -Int(EINVAL)
    rig.driver.send(WorkerRig.frame(60))
    rig.settle()
    #expect(rig.worker.counters.invalid == 1 && rig.worker.counters.refused == 1)
    rig.tap.answer = -Int(EIO)
    rig.driver.send(WorkerRig.frame(60), first: 1)
    rig.settle()
    #expect(rig.worker.counters.invalid == 1, "an interface that is down is not the driver's fault")
    #expect(rig.worker.counters.refused == 2 && rig.worker.counters.framesIn == 0)
  }

  struct Lie: Sendable, CustomTestStringConvertible {
    var testDescription: String
    var address: UInt64
    var length: UInt32
  }

  static let lies: [Lie] = [
    Lie(testDescription: "nowhere", address: 0, length: 64),
    Lie(testDescription: "the rings", address: AddressMap.rings, length: 64),
    Lie(testDescription: "the payload", address: AddressMap.payload, length: 64),
    Lie(testDescription: "before the arena", address: AddressMap.arena - 1, length: 64),
    Lie(testDescription: "past its end", address: DriverSide.address(DriverSide.arenaSize - 63), length: 64),
    Lie(testDescription: "behind it", address: DriverSide.address(DriverSide.arenaSize), length: 1),
    Lie(testDescription: "around the end of addresses", address: UInt64.max - 31, length: 64),
    Lie(testDescription: "too long", address: AddressMap.arena, length: UInt32(DriverSide.arenaSize) + 1),
    Lie(testDescription: "as long as can be", address: AddressMap.arena + 1, length: .max),
  ]

  @Test(arguments: lies, NetworkClass.Direction.allCases)
  func addressesOutsideTheArenaEndTheService(lie: Lie, direction: NetworkClass.Direction) throws {
    let rig = try WorkerRig()
    let flags = direction == .outbound ? VirtqueueDescriptor.flagWrite : 0
    rig.tap.toDriver = [WorkerRig.header + WorkerRig.frame(60)]
    rig.driver.offer(direction, [VirtqueueDescriptor(address: lie.address, length: lie.length, flags: flags)])
    rig.settle()
    #expect(rig.worker.fault?.fault == .outside(address: lie.address, length: lie.length))
    #expect(rig.worker.fault?.fault.violation == .descriptorInvalid)
    #expect(rig.tap.fromDriver.isEmpty && rig.tap.toDriver.count == 1)
    rig.driver.send(WorkerRig.frame(60), first: 4)
    rig.settle()
    #expect(rig.tap.fromDriver.isEmpty, "nothing is carried any more")
  }

  @Test func aLieInTheMiddleOfAChainIsFound() throws {
    let rig = try WorkerRig()
    rig.driver.offer(
      .inbound,
      [
        VirtqueueDescriptor(
          address: AddressMap.arena, length: 64, flags: VirtqueueDescriptor.flagNext, next: 1),
        VirtqueueDescriptor(address: AddressMap.payload, length: 64),
      ])
    rig.settle()
    #expect(rig.worker.fault?.fault == .outside(address: AddressMap.payload, length: 64))
  }

  @Test(arguments: NetworkClass.Direction.allCases)
  func theWrongDirectionEndsTheService(direction: NetworkClass.Direction) throws {
    let rig = try WorkerRig()
    let flags = direction == .inbound ? VirtqueueDescriptor.flagWrite : 0
    rig.driver.offer(direction, [VirtqueueDescriptor(address: AddressMap.arena, length: 64, flags: flags)])
    rig.settle()
    #expect(rig.worker.fault?.fault == .wrongDirection(direction))
  }

  @Test func chainsThatDoNotEndEndTheService() throws {
    let rig = try WorkerRig()
    rig.driver.offer(
      .inbound,
      [
        VirtqueueDescriptor(
          address: AddressMap.arena, length: 64, flags: VirtqueueDescriptor.flagNext, next: 0)
      ])
    rig.settle()
    #expect(rig.worker.fault?.fault == .ring(.chainTooLong))
  }

  @Test func aNextOutsideTheTableEndsTheService() throws {
    let rig = try WorkerRig()
    rig.driver.offer(
      .inbound,
      [
        VirtqueueDescriptor(
          address: AddressMap.arena, length: 64, flags: VirtqueueDescriptor.flagNext, next: 16)
      ])
    rig.settle()
    #expect(rig.worker.fault?.fault == .ring(.indexOutOfRange(16)))
  }

  @Test func headsOutsideTheTableEndTheService() throws {
    let rig = try WorkerRig()
    rig.driver.offerHead(.inbound, 0xFFFF)
    rig.settle()
    #expect(rig.worker.fault?.fault == .ring(.indexOutOfRange(0xFFFF)))
  }

  @Test(arguments: NetworkClass.Direction.allCases)
  func anIndexThatRunsAheadEndsTheService(direction: NetworkClass.Direction) throws {
    let rig = try WorkerRig()
    rig.driver.runAhead(direction, by: 17)
    rig.settle()
    #expect(rig.worker.fault?.fault == .ring(.indexJump(distance: 17)))
    #expect(rig.worker.fault?.fault.violation == .availIndexInvalid)
  }

  @Test func indirectDescriptorsEndTheService() throws {
    let rig = try WorkerRig()
    rig.driver.offer(
      .inbound,
      [VirtqueueDescriptor(address: AddressMap.arena, length: 64, flags: VirtqueueDescriptor.flagIndirect)])
    rig.settle()
    #expect(rig.worker.fault?.fault == .ring(.indirect))
  }

  @Test func theNextDriverBeginsWithFreshRings() throws {
    let rig = try WorkerRig()
    rig.driver.runAhead(.inbound, by: 99)
    rig.settle()
    #expect(rig.worker.fault != nil)
    rig.worker.stop()
    let next = try DriverSide(layout: rig.driver.layout)
    let file = try EventDescriptor.make()
    rig.worker.start(next.queues, ports: [(FakePort(tap: rig.tap), file.number)])
    next.send(WorkerRig.frame(60))
    rig.settle()
    #expect(rig.worker.fault == nil && rig.tap.fromDriver.count == 1)
    rig.worker.stop()
  }

  @Test func oneDirectionDoesNotStarveTheOther() throws {
    let rig = try WorkerRig(queueSize: 256)
    rig.tap.toDriver = Array(repeating: WorkerRig.header + WorkerRig.frame(60), count: 200)
    for index in 0..<200 { rig.driver.offerBuffer(index, offset: index * 2048, length: 2048) }
    rig.driver.send(WorkerRig.frame(60), at: 900_000)
    rig.settle()
    #expect(rig.tap.fromDriver.count == 1 && rig.tap.toDriver.isEmpty)
    #expect(rig.worker.counters.framesOut == 200)
  }
}
