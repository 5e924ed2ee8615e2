import Campaign
import Glibc
import Testing

/// Drivers and brokers die, hang, and are replaced while a checker works on the disk.
@Suite(.serialized) struct RestartTests {
  private static let eager = """
    restart = { delay = "1ms", max-delay = "10ms", burst = 0 }
    heartbeat = { interval = "50ms", timeout = "400ms", start = "10s" }
    """

  @Test(arguments: Standing.possible) func killsAndStops(_ standing: Standing) throws {
    let native = try Native("size=4M,atomic=8", policy: Self.eager, as: standing)
    let result = try native.campaign(attacks: [.kill: 8, .stop: 3]) { $0.atomicSize = 4096 }
    #expect(result.isRight, "\(result.description)\n\(native.log)")
    #expect(result.summary.attacks == [.kill: 8, .stop: 3])
    #expect(result.summary.verifications > 0)
    #expect(result.summary.disconnects == 0)
    #expect(native.stop() == 0)
  }

  /// Clients of the socket lose their connections; what was answered is on the disk.
  @Test(arguments: Standing.possible) func killsOfTheBroker(_ standing: Standing) throws {
    let native = try Native("size=4M,atomic=8", policy: Self.eager, as: standing)
    let result = try native.campaign(attacks: [.killBroker: 4, .kill: 4]) {
      $0.atomicSize = 4096
      $0.allowsDisconnects = true
    }
    #expect(result.isRight, "\(result.description)\n\(native.log)")
    #expect(result.summary.attacks == [.killBroker: 4, .kill: 4])
    #expect(result.summary.disconnects >= 4)
    #expect(native.stop() == 0)
  }

  @Test func restartStopAndStart() throws {
    let image = "/tmp/native-\(getpid())-\(UInt32.random(in: 0...UInt32.max)).img"
    defer { unlink(image) }
    let native = try Native("file=\(image),size=4M")
    let bytes = [UInt8](repeating: 0x3C, count: 65536)
    let disk = try Disk(native)
    #expect(disk.write(bytes, at: 0) == 0)
    let before = try #require(try native.status())
    #expect(try native.control("restart", "disk").status == 0)
    let after = try #require(try native.status())
    #expect(after.generation > before.generation)
    #expect(after.broker == before.broker)
    // The same connection goes on.
    #expect(disk.read(bytes.count, at: 0).bytes == bytes)
    #expect(try native.control("stop", "disk").status == 0)
    #expect(try native.status()?.state == "idle")
    #expect(disk.read(512, at: 0).error != 0)
    #expect(try native.control("start", "disk").status == 0)
    #expect(try native.status()?.state == "running")
    #expect(try Disk(native).read(bytes.count, at: 0).bytes == bytes)
  }

  /// What a broker's listener accepts while there is no driver waits for one.
  @Test func aRequestWaitsForTheNextDriver() throws {
    let native = try Native(policy: "restart = { delay = \"500ms\", burst = 0 }")
    let disk = try Disk(native)
    let driver = try #require(try native.status()?.driver)
    #expect(kill(driver, SIGKILL) == 0)
    #expect(disk.write([UInt8](repeating: 1, count: 512), at: 0) == 0)
    #expect(try #require(try native.status()).generation > 1)
  }
}
