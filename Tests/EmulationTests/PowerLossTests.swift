import Platform
import Testing

@testable import Emulation

@Suite struct PowerLossTests {
  private func write(_ host: Host, _ byte: UInt8, block: UInt64, count: Int = 1, flags: UInt32 = 0) throws {
    host.fill(Host.data, count * 512, byte)
    #expect(
      try host.transfer(1, block: block, count: count, blockSize: 512, buffer: Host.data, flags: flags)?.status == 0)
  }

  private func blocks(_ host: Host, _ first: UInt64, _ count: Int) throws -> [UInt8] {
    let buffer = Host.data + (1 << 20)
    #expect(try host.transfer(2, block: first, count: count, blockSize: 512, buffer: buffer)?.status == 0)
    return (0..<count).map { index in
      let bytes = host.bytes(buffer + 512 * index, 512)
      #expect(bytes.allSatisfy { $0 == bytes[0] }, "a block is never torn")
      return bytes[0]
    }
  }

  private func crash(_ host: Host, _ loss: PowerLoss = .everything) throws -> PowerLossReport {
    let report = host.backing.powerLoss(loss)
    #expect(host.status == .max, "its memory is not decoded")
    try host.awaken()
    #expect(host.status == 0)
    try host.start()
    return report
  }

  @Test(arguments: ["", "file"])
  func flushedIsKeptUnflushedIsLost(_ place: String) throws {
    let image = TemporaryFile()
    let file = place == "file" ? "file=\(image.path)," : ""
    let host = try Host("nvme,\(file)size=1M,journal=on,sync=off").start()
    try write(host, 1, block: 10, count: 4)
    #expect(try host.io(0)?.status == 0)
    try write(host, 2, block: 11, count: 2)
    #expect(try blocks(host, 10, 4) == [1, 2, 2, 1], "the cache shows the newest")
    #expect(try crash(host) == PowerLossReport(lost: 2, kept: 0))
    #expect(try blocks(host, 10, 4) == [1, 1, 1, 1])
    #expect(try crash(host) == PowerLossReport())
  }

  @Test func forceUnitAccessIsKept() throws {
    let host = try Host("nvme,size=1M,journal=on").start()
    try write(host, 1, block: 0, count: 4)
    try write(host, 2, block: 1, flags: 1 << 30)
    try write(host, 3, block: 2)
    _ = try crash(host)
    #expect(try blocks(host, 0, 4) == [0, 2, 0, 0])
    // Overwritten again after it: the durable contents are those of the FUA write.
    try write(host, 4, block: 1)
    _ = try crash(host)
    #expect(try blocks(host, 1, 1) == [2])
  }

  @Test func zeroesAndDeallocationAreCachedToo() throws {
    let host = try Host("nvme,size=1M,journal=on").start()
    try write(host, 1, block: 0, count: 8, flags: 1 << 30)
    #expect(try host.io(8, block: 0, count: 4)?.status == 0)
    #expect(try blocks(host, 3, 2) == [0, 1])
    _ = try crash(host)
    #expect(try blocks(host, 3, 2) == [1, 1])
    #expect(try host.io(8, block: 0, count: 4, flags: 1 << 30)?.status == 0)
    _ = try crash(host)
    #expect(try blocks(host, 3, 2) == [0, 1])
  }

  @Test func aSwitchedOffCacheLosesNothing() throws {
    let host = try Host("nvme,size=1M,journal=on").start()
    try write(host, 1, block: 0)
    #expect(try host.admin(0x09, d10: 6, d11: 0)?.status == 0, "switching off flushes")
    try write(host, 2, block: 1)
    #expect(try crash(host) == PowerLossReport())
    #expect(try blocks(host, 0, 2) == [1, 2])
    #expect(try host.admin(0x0A, d10: 6)?.value == 1, "on again after power-on")
  }

  @Test func atomicUnitsAreWholeAndLargerWritesAreTorn() throws {
    var outcomes: Set<[UInt8]> = []
    var torn = false
    for seed in 0..<40 as Range<UInt64> {
      let host = try Host("nvme,size=1M,journal=on,atomic=4").start()
      try write(host, 1, block: 0, count: 4)
      try write(host, 2, block: 100, count: 4)
      try write(host, 3, block: 102, count: 4)
      try write(host, 4, block: 200, count: 16)
      _ = try crash(host, .some(seed: seed))
      let small = try blocks(host, 0, 4)
      #expect(small == [0, 0, 0, 0] || small == [1, 1, 1, 1])
      outcomes.insert(small)
      let overlapping = try blocks(host, 100, 6)
      #expect(overlapping == [0, 0, 0, 0, 0, 0] || overlapping == [2, 2, 3, 3, 3, 3])
      torn = try torn || Set(blocks(host, 200, 16)).count == 2
    }
    #expect(outcomes.count == 2, "both fates occur")
    #expect(torn)
  }

  @Test func theSeedDecides() throws {
    func run(_ seed: UInt64) throws -> [UInt8] {
      let host = try Host("nvme,size=1M,journal=on").start()
      for block in 0..<32 as Range<UInt64> { try write(host, 9, block: block) }
      _ = try crash(host, .some(seed: seed))
      return try blocks(host, 0, 32)
    }
    #expect(try run(5) == run(5))
    #expect(try run(5) != run(6))
  }

  @Test func powerFailsInTheMiddleOfAWrite() throws {
    var fates: Set<[UInt8]> = []
    for seed in 0..<30 {
      let host = try Host("nvme,size=1M,journal=on,atomic=2,seed=\(seed),misbehave=power-loss:on=write:after=1").start()
      try write(host, 1, block: 0, count: 8, flags: 1 << 30)
      host.fill(Host.data, 1024, 2)
      #expect(try host.io(1, block: 2, count: 2, prp1: Host.iova(Host.data)) == nil, "never acknowledged")
      #expect(host.status == .max, "its memory is not decoded")
      try host.awaken()
      #expect(host.status == 0, "as after power-on")
      try host.start()
      let after = try blocks(host, 0, 8)
      #expect(after == [1, 1, 1, 1, 1, 1, 1, 1] || after == [1, 1, 2, 2, 1, 1, 1, 1])
      fates.insert(after)
    }
    #expect(fates.count == 2)
  }

  @Test func controllerResetKeepsTheCache() throws {
    let host = try Host("nvme,size=1M,journal=on").start()
    try write(host, 1, block: 0)
    try host.start()
    #expect(try blocks(host, 0, 1) == [1])
    try host.backing.reset()
    try host.awaken()
    try host.start()
    #expect(try blocks(host, 0, 1) == [1])
    #expect(try crash(host).lost == 1, "still only in the cache")
  }
}
