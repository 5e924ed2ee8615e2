import Logging
import Testing

@testable import Supervisor

@Suite struct JournalTests {
  private static let device: Logger.Metadata = [
    "device": "0000:01:00.0", "name": "scratch", "driver": "nvme", "event": "violation", "violation": "config-denied",
  ]

  private func value(_ name: String, _ record: JournalRecord) -> String? {
    let values = record.fields.filter { $0.name == name }.map(\.value)
    #expect(values.count <= 1, "\(name) is there once")
    return values.first
  }

  @Test func metadataBecomesFields() {
    let record = JournalRecord(level: .warning, message: "violation", metadata: Self.device)
    for (name, wanted) in [
      ("MESSAGE", "0000:01:00.0 scratch: violation"), ("PRIORITY", "4"), ("SYSLOG_IDENTIFIER", "bulkheadd"),
      ("BULKHEAD_DEVICE", "0000:01:00.0"), ("BULKHEAD_NAME", "scratch"), ("BULKHEAD_DRIVER", "nvme"),
      ("BULKHEAD_EVENT", "violation"), ("BULKHEAD_VIOLATION", "config-denied"),
      ("MESSAGE_ID", JournalRecord.messageIDs["violation"]),
    ] { #expect(value(name, record) == wanted, "\(name)") }
    #expect(record.fields.count == 9)
  }

  /// A value with line breaks has its length before it: nothing in it becomes a field.
  @Test func theJournalsOwnProtocol() {
    let text = "two\nPRIORITY=0"
    let record = JournalRecord(level: .notice, message: text, metadata: [:])
    let length = withUnsafeBytes(of: UInt64(text.utf8.count).littleEndian) { Array($0) }
    let wanted =
      Array("MESSAGE\n".utf8) + length + Array("\(text)\nPRIORITY=5\nSYSLOG_IDENTIFIER=bulkheadd\n".utf8)
    #expect(record.bytes == wanted)
  }

  /// The journal's files may be on a disk that waits for us.
  @Test func nobodyWaitsForAJournalThatDoesNotRead() throws {
    let journal = try ServiceManager()
    let socket = JournalSocket(path: journal.path)
    let record = JournalRecord(level: .notice, message: "line", metadata: [:])
    var sent = 0
    while socket.lost == 0, sent < 100_000 {
      #expect(socket.send(record))
      sent += 1
    }
    #expect(socket.lost == 1)
    #expect(socket.send(record))
    #expect(socket.lost == 2)
    let heard = journal.datagrams()
    #expect(heard.count == sent - 1)
    #expect(heard.allSatisfy { $0 == record.bytes })
    #expect(socket.send(record) && socket.lost == 0)
    let told = journal.datagrams().map { String(decoding: $0, as: UTF8.self) }
    #expect(told.count == 2)
    #expect(told.first?.hasPrefix("MESSAGE=2 records lost: the journal did not read\n") == true)
  }

  @Test func withoutAJournalItIsSomebodyElses() {
    #expect(!JournalSocket(path: "/nowhere/socket").send(JournalRecord(level: .info, message: "x", metadata: [:])))
  }

  /// `journalctl -x` explains each of them, and by fields that such a record has.
  @Test func theCatalogHasAllMessageIDs() throws {
    let root = #filePath.components(separatedBy: "/Tests/SupervisorTests/")[0]
    let text = try #require(FileText.contents("\(root)/packaging/systemd/bulkhead.catalog"))
    let entries = text.split(separator: "\n-- ").dropFirst().map(String.init)
    #expect(Set(entries.map { String($0.prefix(32)) }) == Set(JournalRecord.messageIDs.values))
    #expect(entries.count == JournalRecord.messageIDs.count)
    for entry in entries {
      let lines = entry.split(separator: "\n", omittingEmptySubsequences: false)
      #expect(lines[1].hasPrefix("Subject: ") && lines[2] == "Defined-By: Bulkhead")
      #expect(lines[3].hasPrefix("Documentation: man:") && lines[4].isEmpty)
      for (number, word) in entry.split(separator: "@", omittingEmptySubsequences: false).enumerated()
      where number % 2 == 1 {
        #expect(["BULKHEAD_DEVICE", "BULKHEAD_NAME", "BULKHEAD_VIOLATION"].contains(word), "\(word)")
        #expect(word != "BULKHEAD_VIOLATION" || entry.hasPrefix(JournalRecord.messageIDs["violation"]!))
      }
    }
  }

  @Test func aLineOfTheDaemonHasNoDevice() {
    let record = JournalRecord(level: .notice, message: "stopping", metadata: [:])
    #expect(record.fields.map(\.name) == ["MESSAGE", "PRIORITY", "SYSLOG_IDENTIFIER"])
    #expect(value("MESSAGE", record) == "stopping")
  }

  @Test(arguments: [
    (Logger.Level.trace, "7"), (.debug, "7"), (.info, "6"), (.notice, "5"), (.warning, "4"), (.error, "3"),
    (.critical, "2"),
  ]) func levels(_ level: Logger.Level, _ priority: String) {
    #expect(value("PRIORITY", JournalRecord(level: level, message: "", metadata: [:])) == priority)
  }

  /// A message may have several lines, a hint for example; no other field, and nothing that a terminal obeys.
  @Test func nothingIsForged() {
    let evil = "x\nBULKHEAD_DEVICE=0000:ff:00.0\u{1b}[2J\r\u{0}\u{9b}y"
    let record = JournalRecord(
      level: .info, message: evil, metadata: ["device": "0000:01:00.0", "driver": "\(evil)", "process": "driver"])
    #expect(value("BULKHEAD_DEVICE", record) == "0000:01:00.0")
    #expect(value("BULKHEAD_DRIVER", record) == "x?BULKHEAD_DEVICE=0000:ff:00.0?[2J???y")
    #expect(value("MESSAGE", record) == "0000:01:00.0: driver: x\nBULKHEAD_DEVICE=0000:ff:00.0?[2J???y")
    #expect(record.fields.allSatisfy { $0.name == "MESSAGE" || !$0.value.contains("\n") })
  }

  @Test func namesOfFields() {
    #expect(JournalRecord.fieldName("dma-fault") == "BULKHEAD_DMA_FAULT")
    #expect(JournalRecord.fieldName("a1") == "BULKHEAD_A1")
    for wrong in ["", "a=b", "a\nb", "ä", String(repeating: "a", count: 60)] {
      #expect(JournalRecord.fieldName(wrong) == nil)
    }
  }

  @Test func theStreamOfSystemdIsKnownByItsInode() {
    #expect(JournalLogHandler.names("9:12345", device: 9, inode: 12345))
    #expect(!JournalLogHandler.names("9:12345", device: 9, inode: 1))
    #expect(!JournalLogHandler.names("8:12345", device: 9, inode: 12345))
    for wrong in ["", "9", "9:", ":12345", "9:12345:", "9:x"] {
      #expect(!JournalLogHandler.names(wrong, device: 9, inode: 12345))
    }
  }

  /// Whoever asks for restarts or quarantines finds them by name.
  @Test func eventsOfStates() {
    #expect(DeviceLifecycle.State.quarantined.event == "quarantine")
    #expect(DeviceLifecycle.State.backingOff.event == "restart")
    #expect(DeviceLifecycle.State.brokerBackoff.event == "restart")
    #expect(DeviceLifecycle.State.running.event == "state")
    for event in JournalRecord.messageIDs.keys {
      let isOfAState = DeviceLifecycle.State.allCases.contains { $0.event == event }
      #expect(isOfAState || ["violation", "dma-fault"].contains(event), "\(event) does not occur")
    }
    #expect(Set(JournalRecord.messageIDs.values).count == JournalRecord.messageIDs.count)
  }
}
