import Netlink
import PCI
import Protocol
import Testing

@testable import Supervisor

@Suite struct InterfaceNameTests {
  @Test(arguments: [
    ("0000:03:00.0", "uplink", "bh-uplink"),
    ("0000:03:00.0", "a-name-of-16-byt", "bh-03-00-0"),
    ("0000:03:00.0", "twelve-bytes", "bh-twelve-bytes"),
    ("0000:03:00.0", "thirteen-byte", "bh-03-00-0"),
    ("0000:03:00.0", "pci-0000-03-00-0", "bh-03-00-0"),
    ("ffff:01:00.0", "pci-ffff-01-00-0", "bh-ffff-01-00-0"),
    ("10000:e1:1f.7", "pci-10000-e1-1f-7", "bh10000e11f7"),
  ])
  func itIsStableAndFits(_ address: String, _ name: String, _ expected: String) throws {
    let text = DeviceSession.interfaceName(try #require(PCIAddress(address)), name: name)
    #expect(text == expected && text.utf8.count <= 15)
  }
}

/// What an interface of the real kernel becomes for a driver, and what of the settings a driver could not understand.
@Suite struct NetworkPortTests {
  @Test func theWordsOfALink() {
    #expect(NetworkLink(isUp: true, speed: 1000, isFullDuplex: true).words == "1000 Mbit/s, full duplex")
    #expect(NetworkLink(isUp: true, speed: 0, isFullDuplex: false).words == "speed unknown, half duplex")
  }

  @Test func theWordsOfOffloads() {
    #expect(NetworkPort.Offloads([]).words == [])
    #expect(
      NetworkPort.Offloads([.transmitChecksum, .transmitTCP4, .transmitTCP6, .transmitECN, .receiveChecksum]).words
        == ["transmit-checksum", "transmit-tcp4", "transmit-tcp6", "transmit-ecn", "receive-checksum"])
  }
}

@Suite struct FrameBalanceTests {
  @Test func whatDidNotComeOutWasRefused() {
    var balance = FrameBalance(received: 1000)
    #expect(balance.weigh(taken: 10, received: 1010) == 0)
    #expect(balance.weigh(taken: 25, received: 1020) == 5)
    // The same ones are not told twice.
    #expect(balance.weigh(taken: 25, received: 1020) == 0)
    #expect(balance.weigh(taken: 30, received: 1020) == 5)
  }

  /// More came out than was taken when the rings were looked at, or was counted twice.
  @Test func nobodyIsAccusedOfWhatHides() {
    var balance = FrameBalance(received: 0)
    #expect(balance.weigh(taken: 100, received: 130) == 0)
    #expect(balance.weigh(taken: 135, received: 134) == 1)
    #expect(balance.weigh(taken: 135, received: 150) == 0)
    #expect(balance.weigh(taken: 135, received: 134) == 0)
  }

  @Test func theRingsCountModulo65536() {
    let begin = UInt64.max - 5
    var balance = FrameBalance(received: begin)
    #expect(balance.weigh(taken: 40000, received: begin &+ 40000) == 0)
    #expect(balance.weigh(taken: 14464, received: begin &+ 80000) == 0)
    #expect(balance.weigh(taken: 14467, received: begin &+ 80000) == 3)
    #expect(balance.weigh(taken: 14464, received: begin &+ 80000 &+ 65536) == 0)
  }

  /// As many as would be a negative number of 16 bits.
  @Test func manyDroppedOnesAccuseNobody() {
    var balance = FrameBalance(received: 0)
    #expect(balance.weigh(taken: 10, received: 40010) == 0)
    #expect(balance.weigh(taken: 20, received: 70020) == 0)
  }
}
