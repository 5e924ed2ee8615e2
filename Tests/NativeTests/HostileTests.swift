import Glibc
import Testing

/// A driver that uses its device against the machine, on the emulated device.
@Suite(.serialized) struct HostileTests {
  private func violations(_ native: Native) throws -> String {
    try native.control("status", "disk", "--json").output
  }

  @Test(arguments: Standing.possible)
  func dmaOutsideTheArenasIsStoppedAndCounted(_ standing: Standing) throws {
    let native = try Native(
      policy: """
        driver = "hostile"
        options = { attack = "dma-write", address = "0x1000000" }
        restart = { delay = "50ms", burst = 0 }
        violations = { dma-fault = "restart" }
        """, as: standing, waits: false)
    try native.eventually("a violation") { try violations(native).contains("dma-fault") }
    try native.eventually("another driver") { try native.status().map { $0.generation > 1 } ?? false }
    #expect(native.stop() == 0)
  }

  @Test func theDeviceIsQuarantinedWhereThePolicySaysSo() throws {
    let native = try Native(
      policy: """
        driver = "hostile"
        options = { attack = "dma-write", address = "0x1000000" }
        violations = { dma-fault = "quarantine" }
        """, waits: false)
    try native.eventually("quarantine") { try native.status()?.state == "quarantined" }
    #expect(try violations(native).contains("dma-fault"))
    #expect(try native.status()?.driver == nil)
    #expect(native.stop() == 0)
  }

  @Test(arguments: [("completions", "completion-"), ("messages", "malformed-message"), ("config", "config-denied")])
  func liesAreCounted(_ attack: String, _ violation: String) throws {
    let native = try Native(
      policy: """
        driver = "hostile"
        options = { attack = "\(attack)" }
        violations = { tolerate = 0, then = "quarantine" }
        """, waits: false)
    // Some attacks wait for a request.
    try native.eventually("a disk") { access(native.socket, F_OK) == 0 }
    try native.eventually("the violation") {
      if try native.status()?.state == "running", let disk = try? Disk(native, within: 300_000_000) {
        _ = disk.read(512, at: 0)
      }
      return try violations(native).contains(violation)
    }
    try native.eventually("quarantine") { try native.status()?.state == "quarantined" }
    #expect(native.stop() == 0)
  }
}
