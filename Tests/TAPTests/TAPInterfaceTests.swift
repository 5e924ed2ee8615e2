import CBulkhead
import Glibc
import NamespaceRig
import Netlink
import Platform
import Protocol
import Testing

@testable import TAP

/// Interfaces of the real kernel, in a namespace of the test's own.
@Suite(.enabled(if: NamespaceRig.isPossible, "needs root")) struct TAPInterfaceTests {
  private func link(_ name: String = "bh0") throws -> Link? { try LinkControl().link(named: name) }

  /// The same open file under another number, as another process would have it.
  private func copy(_ queue: TAPQueue) throws -> Descriptor {
    Descriptor(owning: try checked(dup(queue.file), "rig", "copy a file"))
  }

  /// Whether the interface goes. A tool that another test starts has a copy of each file until it executes.
  private func goes(_ name: String) throws -> Bool {
    for _ in 0..<500 {
      if try link(name) == nil { return true }
      usleep(10_000)
    }
    return false
  }

  @Test func comesDownAndWithoutCarrier() throws {
    try NamespaceRig.run {
      let tap = try TAPInterface(name: InterfaceName("bh0"))
      let made = try #require(try link())
      #expect(made.kind == "tun" && !made.isUp && !made.hasCarrier)
      #expect(try tap.queues[0].headerSize() == 12)
      #expect(tap.queues[0].flags.isSuperset(of: [.tap, .noPacketInformation, .virtioHeader]))
      let shown = try NamespaceRig.run("ip", "-d", "link", "show", "bh0")
      for word in ["type tap", "pi off", "vnet_hdr on", "persist off"] { #expect(shown.contains(word), "\(shown)") }
      try NamespaceRig.run("ip", "link", "set", "bh0", "up")
      let up = try #require(try link())
      #expect(up.isUp && !up.hasCarrier)
      try tap.setCarrier(true)
      #expect(try #require(try link()).hasCarrier)
      try tap.setCarrier(false)
      #expect(try #require(try link()).hasCarrier == false)
    }
  }

  @Test func moreQueuesDoNotSwitchTheCarrierOn() throws {
    try NamespaceRig.run {
      let tap = try TAPInterface(name: InterfaceName("bh0"), queues: 4)
      #expect(tap.queues.count == 4)
      try NamespaceRig.run("ip", "link", "set", "bh0", "up")
      #expect(try #require(try link()).hasCarrier == false)
      #expect(try NamespaceRig.run("ip", "-d", "link", "show", "bh0").contains("numqueues 4"))
      try tap.useQueues(1)
      #expect(tap.queues.map(\.isAttached) == [true, false, false, false])
      #expect(try NamespaceRig.run("ip", "-d", "link", "show", "bh0").contains("numqueues 1 numdisabled 3"))
      try tap.useQueues(4)
      #expect(try NamespaceRig.run("ip", "-d", "link", "show", "bh0").contains("numqueues 4"))
      #expect(try #require(try link()).hasCarrier == false)
    }
  }

  @Test func livesAsLongAsOneFile() throws {
    try NamespaceRig.run {
      let tap = try TAPInterface(name: InterfaceName("bh0"))
      let index = try #require(try link()).index
      try NamespaceRig.run("ip", "address", "add", "192.0.2.1/24", "dev", "bh0")
      let kept = try copy(tap.queues[0])
      tap.close()
      tap.close()
      #expect(try #require(try link()).index == index)
      let adopted = try TAPInterface(adopting: [TAPQueue(adopting: kept)])
      // Nobody who is started later gets it.
      #expect(fcntl(adopted.queues[0].file, F_GETFD) & FD_CLOEXEC != 0)
      #expect(adopted.name == "bh0")
      #expect(try NamespaceRig.run("ip", "address", "show", "bh0").contains("192.0.2.1/24"))
      adopted.close()
      #expect(try goes("bh0"))
    }
  }

  @Test func whoTakesItOverKnowsWhatIsDetached() throws {
    try NamespaceRig.run {
      let tap = try TAPInterface(name: InterfaceName("bh0"), queues: 2)
      try tap.useQueues(1)
      let adopted = try TAPInterface(adopting: [
        TAPQueue(adopting: copy(tap.queues[0])), TAPQueue(adopting: copy(tap.queues[1])),
      ])
      #expect(adopted.queues.map(\.isAttached) == [true, false])
      #expect(adopted.queues.map(\.flags) == tap.queues.map { $0.flags.subtracting(.noCarrier) })
      try adopted.useQueues(2)
      #expect(try NamespaceRig.run("ip", "-d", "link", "show", "bh0").contains("numqueues 2"))
    }
  }

  @Test func keepsItsFilesWhereverItMoves() throws {
    try NamespaceRig.run {
      let tap = try TAPInterface(name: InterfaceName("bh0"))
      let there = try NetworkNamespace.make()
      let index = try #require(try link()).index
      try LinkControl().change(
        index: index, LinkChange(address: HardwareAddress("52:54:00:00:00:01"), mtu: 9000, isUp: true, namespace: there)
      )
      try tap.setCarrier(true)
      let moved = try #require(try LinkControl(namespace: there).link(named: "bh0"))
      #expect(moved.isUp && moved.hasCarrier && moved.mtu == 9000)
      #expect(moved.address == HardwareAddress("52:54:00:00:00:01"))
    }
  }

  @Test func namesThatAreTaken() throws {
    try NamespaceRig.run {
      let tap = try TAPInterface(name: InterfaceName("bh0"))
      try NamespaceRig.run("ip", "link", "add", "veth", "type", "veth", "peer", "name", "other")
      try NamespaceRig.run("ip", "tuntap", "add", "mode", "tap", "left-over")
      for name in [tap.name, "veth", "left-over"] {
        let failure = try #require(throws: Failure.self) { try TAPInterface(name: InterfaceName(name)) }
        #expect(failure.code == "tap-interface" && [EBUSY, EINVAL].contains(failure.errno) && !failure.hint.isEmpty)
      }
      #expect(try link() != nil)
    }
  }

  @Test func nothingStaysOfOneThatFailed() throws {
    try NamespaceRig.run {
      // A queue more than fits, after 256 that did.
      let full = try TAPInterface(name: InterfaceName("full"), queues: TAPInterface.maximumQueues)
      let failure = try #require(throws: Failure.self) {
        try TAPQueue(path: "/dev/net/tun", name: InterfaceName("full"), extra: [])
      }
      #expect(failure.code == "tap-interface" && failure.errno == E2BIG && !failure.hint.isEmpty)
      full.close()
      #expect(try goes("full"))
    }
  }

  @Test func filesThatAreNoTAP() throws {
    let missing = try #require(throws: Failure.self) {
      try TAPInterface(name: InterfaceName("bh0"), path: "/dev/net/nothing")
    }
    #expect(missing.code == "tap-open" && missing.errno == ENOENT && missing.hint.contains("modprobe"))
    let other = try #require(throws: Failure.self) { try TAPInterface(name: InterfaceName("bh0"), path: "/dev/null") }
    #expect(other.code == "tap-features" && other.errno == ENOTTY && !other.hint.isEmpty)
    func adopt(_ file: Int32) throws -> Failure {
      try #require(throws: Failure.self) { try TAPQueue(adopting: Descriptor(owning: file)) }
    }
    #expect(try adopt(open("/dev/null", O_RDWR)).errno == ENOTTY)
    // No interface yet.
    #expect(try adopt(bh_tap_open("/dev/net/tun")).errno == EBADFD)
    try NamespaceRig.run {
      // IP packets, not frames.
      let tun = bh_tap_open("/dev/net/tun")
      var name = TAPQueue.bytes(of: try InterfaceName("tun0"))
      #expect(bh_tap_set_interface(tun, &name, 0x1001) == 0)
      let failure = try adopt(tun)
      #expect(failure.code == "tap-adopt" && failure.errno == 0)
    }
  }

  @Test func queuesOfDifferentInterfacesDoNotGoTogether() throws {
    try NamespaceRig.run {
      let one = try TAPInterface(name: InterfaceName("bh0"))
      let other = try TAPInterface(name: InterfaceName("bh1"))
      #expect(throws: Failure.self) { try TAPInterface(adopting: one.queues + other.queues) }
      #expect(throws: Failure.self) { try TAPInterface(adopting: []) }
      try one.queues[0].setHeaderSize(10)
      #expect(throws: Failure.self) { try TAPInterface(adopting: one.queues) }
    }
  }

  private func failure(_ body: () throws(Failure) -> Void) -> Failure? {
    do throws(Failure) { try body() } catch { return error }
    return nil
  }

  @Test func settingsThatTheKernelRefuses() throws {
    try NamespaceRig.run {
      let tap = try TAPInterface(name: InterfaceName("bh0"))
      try checkLimits(tap)
      // The interface is deleted by somebody else.
      try NamespaceRig.run("ip", "link", "delete", "bh0")
      checkEnd(tap)
    }
  }

  private func checkLimits(_ tap: TAPInterface) throws {
    let queue = tap.queues[0]
    let offload = failure { () throws(Failure) in try tap.setOffloads([.tso4]) }
    #expect(offload?.code == "tap-offload" && offload?.errno == EINVAL && offload?.hint.isEmpty == false)
    try tap.setOffloads([.checksum, .tso4, .tso6, .tsoECN])
    try tap.setOffloads([])
    #expect(failure { () throws(Failure) in try queue.setHeaderSize(9) }?.code == "tap-header")
    #expect(failure { () throws(Failure) in try queue.setSendBuffer(0) }?.code == "tap-send-buffer")
    try tap.setSendBuffer(1 << 20)
    #expect(try queue.sendBuffer() == 1 << 20)
  }

  private func checkEnd(_ tap: TAPInterface) {
    let queue = tap.queues[0]
    expectGone(failure { () throws(Failure) in try queue.setHeaderSize(12) })
    expectGone(failure { () throws(Failure) in try tap.setCarrier(true) })
    expectGone(failure { () throws(Failure) in try tap.setOffloads([]) })
    expectGone(failure { () throws(Failure) in try queue.setSendBuffer(4096) })
    expectGone(failure { () throws(Failure) in _ = try queue.headerSize() })
    expectGone(failure { () throws(Failure) in try queue.setLittleEndian() })
    #expect(failure { () throws(Failure) in try queue.detach() }?.code == "tap-queue")
  }

  private func expectGone(_ failure: Failure?) {
    #expect(failure?.errno == EBADFD && failure?.hint == "the interface was deleted")
  }
}
