import CBulkhead
import Glibc
import NamespaceRig
import Netlink
import Platform
import Protocol
import TAP
import Testing

@testable import FuzzTAP

/// A short run of what `make fuzz` does at length, without the sanitizer, and some on a real TAP.
@Suite struct FuzzTests {
  #if DEBUG
    private static let rounds: UInt64 = 20_000
  #else
    private static let rounds: UInt64 = 100_000
  #endif

  private func expectWork(_ report: FuzzReport) {
    #expect(report.framesOut > 100 && report.framesIn > 100 && report.refused > 100)
    #expect(report.faults["descriptor-invalid"] ?? 0 > 100 && report.faults["avail-index-invalid"] ?? 0 > 100)
  }

  @Test(arguments: [4, 16, 256]) func staysInTheArena(queueSize: Int) throws {
    let fuzz = try Fuzz(seed: UInt64(queueSize), queueSize: queueSize)
    let report = try fuzz.run(rounds: Self.rounds, isRacing: false)
    #expect(report.rounds == Self.rounds)
    expectWork(report)
  }

  @Test func staysInTheArenaWhileAllChanges() throws {
    let report = try Fuzz(seed: 5).run(rounds: Self.rounds, isRacing: true)
    expectWork(report)
  }

  /// The same seed does the same.
  @Test func reproducesARun() throws {
    let reports = try (0..<2).map { _ in try Fuzz(seed: 77).run(rounds: 5000, isRacing: false) }
    #expect(reports[0].faults == reports[1].faults && reports[0].accesses == reports[1].accesses)
    #expect(reports[0].framesIn == reports[1].framesIn)
  }

  /// The kernel's own checks behind it: headers that contradict their frames, lengths, frames that are none.
  @Test(.enabled(if: NamespaceRig.isPossible, "needs to be root, with TAPs and namespaces"))
  func staysInTheArenaOnARealTAP() throws {
    try NamespaceRig.run {
      let tap = try TAPInterface(name: InterfaceName("bh0"))
      try tap.setOffloads(TAPOffloads(VirtioNetFeatures(rawValue: NetworkPort.everything.features)))
      try tap.setCarrier(true)
      try NamespaceRig.run("ip", "address", "add", "192.0.2.1/24", "dev", "bh0")
      try NamespaceRig.run("ip", "link", "set", "bh0", "up")
      try NamespaceRig.run("ip", "neigh", "add", "192.0.2.2", "lladdr", "52:54:00:00:00:02", "dev", "bh0")
      var total = FuzzReport()
      for seed in 1...40 as ClosedRange<UInt64> {
        for bytes in [1, 700, 1400] { try Datagram.send(bytes: bytes, to: 0xC000_0202) }
        total += try Fuzz(seed: seed, tap: tap.queues[0].file).run(rounds: Self.rounds / 50, isRacing: seed % 4 == 0)
      }
      #expect(total.framesOut > 10 && total.framesIn > 100 && total.refused > 100)
    }
  }

  // MARK: It finds what there is to be found

  @Test func seesMemoryOutsideTheArena() throws {
    let arena = try GuardedMemory(count: 4096)
    let sink = FuzzSink(arena: arena, file: -1, seed: 1)
    func escapes(_ offset: Int, _ length: Int, count: Int = 1) -> Bool {
      let before = sink.escapes
      var part = bh_part(base: arena.base + offset, length: length)
      _ = sink.receive(&part, count)
      _ = sink.send(&part, count)
      return sink.escapes == before + 2
    }
    #expect(!escapes(0, 4096) && !escapes(4095, 1) && !escapes(4096, 0))
    #expect(escapes(0, 4097) && escapes(4096, 1) && escapes(-1, 2) && escapes(-1, 0) && escapes(0, 0, count: 0))
    #expect(escapes(0, 1, count: 65))
  }
}

extension NetworkPort {
  static let everything = NetworkPort(
    address: HardwareAddress(2, 0, 0, 0, 0, 1), maximumMTU: 9000,
    offloads: [.transmitChecksum, .transmitTCP4, .transmitTCP6, .receiveChecksum], queuePairs: 1, model: "",
    firmware: "")
}
