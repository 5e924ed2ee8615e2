import Platform
import Testing

@testable import Broker

@Suite struct InterruptWatchTests {
  private static let text = """
               CPU0       CPU1
       1:          0          9   IO-APIC   1-edge      i8042
      31:         12          7  IR-PCI-MSIX-0000:01:00.0    0-edge      vfio-msix[0](0000:01:00.0)
      32:          0 4294967300  IR-PCI-MSIX-0000:01:00.0    1-edge      vfio-msix[1](0000:01:00.0)
      33:        100        100  IR-PCI-MSIX-0000:02:00.0    0-edge      vfio-msix[0](0000:02:00.0)
      34:          5          5  IR-PCI-MSIX-0000:01:00.0    9-edge      vfio-msix[9](0000:01:00.0)
     NMI:          1          2   Non-maskable interrupts

    """

  private func counts(_ text: String, pieces: Int, vectors: Int = 3) -> [UInt64] {
    var parser = InterruptParser(address: "0000:01:00.0", vectors: vectors)
    parser.begin()
    var rest = Array(text.utf8)[...]
    while !rest.isEmpty {
      Array(rest.prefix(pieces)).withUnsafeBytes { parser.take($0) }
      rest = rest.dropFirst(pieces)
    }
    return parser.counts
  }

  @Test(arguments: [1, 7, 64, 10000]) func addsUpTheProcessors(pieces: Int) {
    #expect(counts(Self.text, pieces: pieces) == [19, 4_294_967_300, 0])
  }

  @Test func linesOfNobody() {
    #expect(counts("", pieces: 1) == [0, 0, 0])
    #expect(
      counts("31: 5 vfio-msix[](0000:01:00.0)\n](0000:01:00.0)\n5 vfio-msix[0](0000:01:00.0)\n", pieces: 9) == [
        0, 0, 0,
      ])
    #expect(counts("31: 5 6 vfio-msix[99999999999999999999](0000:01:00.0)\n", pieces: 9) == [0, 0, 0])
    #expect(counts("31: 5 x 6 vfio-msi[2](0000:01:00.0)\n", pieces: 9) == [0, 0, 5])
  }

  @Test func aStormIsARate() {
    let second: Nanoseconds = 1_000_000_000
    var detector = StormDetector(limit: 1000, vectors: 2)
    let result1 = detector.storms([5000, 0], now: 0)
    #expect(result1 == [], "how long that took is not known")
    let result2 = detector.storms([5900, 0], now: second)
    #expect(result2 == [])
    let result3 = detector.storms([7900, 2500], now: 2 * second)
    #expect(result3 == [0, 1])
    let result4 = detector.storms([9800, 2500], now: 4 * second)
    #expect(result4 == [])
    #expect(detector.total == 9800 + 2500)
    // Rewired: counting begins anew.
    let result5 = detector.storms([10, 2500], now: 5 * second)
    #expect(result5 == [])
    #expect(detector.total == 9810 + 2500)
    var never = StormDetector(limit: 0, vectors: 1)
    _ = never.storms([0], now: 0)
    let result6 = never.storms([1 << 40], now: 1)
    #expect(result6 == [])
  }

  @Test func aFileThatIsNotThere() {
    #expect(InterruptWatch(path: "/nonexistent", address: "0000:01:00.0", vectors: 1) == nil)
  }
}

@Suite struct HeartbeatTests {
  @Test func answersInTime() {
    var heartbeat = Heartbeat(timeout: 300)
    let result7 = heartbeat.beat(now: 0)
    #expect(result7 == .ping(1))
    let result8 = heartbeat.answered(1, now: 50)
    #expect(result8)
    let result9 = heartbeat.beat(now: 100)
    #expect(result9 == .ping(2))
    let result10 = heartbeat.beat(now: 200)
    #expect(result10 == .ping(3))
    let result11 = heartbeat.beat(now: 300)
    #expect(result11 == .ping(4))
    let result12 = heartbeat.answered(3, now: 350)
    #expect(result12)
    let result13 = heartbeat.beat(now: 600)
    #expect(result13 == .ping(5))
    let result14 = heartbeat.beat(now: 650)
    #expect(result14 == .missed)
  }

  @Test func answersToNothing() {
    var heartbeat = Heartbeat(timeout: 300)
    let result15 = heartbeat.answered(0, now: 0)
    #expect(!result15)
    let result16 = heartbeat.answered(1, now: 0)
    #expect(!result16)
    _ = heartbeat.beat(now: 0)
    let result17 = heartbeat.answered(2, now: 0)
    #expect(!result17)
    let result18 = heartbeat.answered(1, now: 0)
    #expect(result18)
    let result19 = heartbeat.answered(1, now: 0)
    #expect(!result19, "twice")
  }

  @Test func tooManyMessages() {
    var rate = MessageRate()
    for _ in 0..<MessageRate.limit {
      let isAdmitted = rate.admit(now: 2_000_000_000)
      #expect(isAdmitted)
    }
    let result20 = rate.admit(now: 2_999_999_999)
    #expect(!result20)
    let result21 = rate.admit(now: 3_000_000_000)
    #expect(result21)
  }
}

@Suite struct ViolationLedgerTests {
  @Test func theFirstIsToldAtOnceAndTheRestTogether() {
    let second = ViolationLedger.interval
    var ledger = ViolationLedger()
    let result22 = ledger.count(.configDenied, "a", now: 0)
    #expect(result22 == .init(violation: .configDenied, count: 1, detail: "a"))
    let result23 = ledger.count(.configDenied, "b", now: 1)
    #expect(result23 == nil)
    let result24 = ledger.count(.configDenied, "c", now: 2)
    #expect(result24 == nil)
    let result25 = ledger.count(.dmaFault, "d", now: 2)
    #expect(result25?.count == 1)
    #expect(ledger.isPending)
    let result26 = ledger.due(now: 3)
    #expect(result26.isEmpty)
    let result27 = ledger.due(now: second)
    #expect(result27 == [.init(violation: .configDenied, count: 2, detail: "c")])
    #expect(!ledger.isPending)
    _ = ledger.count(.configDenied, "e", now: second + 1)
    let result28 = ledger.due(now: second + 1, all: true)
    #expect(result28.map(\.count) == [1])
    let result29 = ledger.count(.configDenied, "f", now: 3 * second)
    #expect(result29?.count == 1)
  }
}
