import Foundation
import Glibc
import Platform
import Testing

/// What the processes do while there is nothing to do: counted by the kernel, not timed.
@Suite(.serialized) struct IdleTests {
  /// Both kinds of context switches of a process so far.
  private func switches(_ process: pid_t) throws -> Int {
    let status = try String(contentsOfFile: "/proc/\(process)/status", encoding: .utf8)
    return status.split(separator: "\n").filter { $0.contains("ctxt_switches") }
      .compactMap { Int($0.split(whereSeparator: \.isWhitespace).last ?? "") }.reduce(0, +)
  }

  @Test func oneHeartbeatASecondIsAll() throws {
    // The defaults: a heartbeat each second.
    let native = try Native(policy: "")
    let disk = try Disk(native)
    for _ in 0..<50 {
      #expect(disk.write([UInt8](repeating: 1, count: 4096), at: 0) == 0)
      #expect(disk.flush() == 0)
    }
    let before = try #require(try native.status())
    let (driver, broker) = (try #require(before.driver), try #require(before.broker))
    // Whatever still runs down: the driver's watchdog sees that nothing is in flight.
    usleep(2_500_000)
    let begin = monotonicNow()
    let driverBefore = try switches(driver)
    let brokerBefore = try switches(broker)
    usleep(4_000_000)
    let seconds = Double(monotonicNow() - begin) / 1e9
    let driverCount = try switches(driver) - driverBefore
    let brokerCount = try switches(broker) - brokerBefore
    // A heartbeat is one wake-up of the driver, and two of the broker: to ask, and to hear.
    #expect(Double(driverCount) <= seconds + 3, "the driver")
    #expect(Double(brokerCount) <= 2 * seconds + 3, "the broker")
    #expect(disk.read(512, at: 0).error == 0)
  }
}
