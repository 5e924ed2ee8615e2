import CBulkhead
import Glibc
import PCI
import Testing

@testable import Netlink
@testable import Supervisor

/// What systemd and udev tell us.
@Suite struct SystemdTests {
  @Test func aSocketIsFoundByItsName() {
    func file(_ pid: String?, _ count: String?, _ names: String?) -> Int32? {
      SocketActivation.files(process: 7, listenPID: pid, count: count, names: names).first { $0.name == "varlink" }?
        .number
    }
    #expect(file("7", "1", "varlink") == 3)
    #expect(file("7", "3", "stored:stored:varlink") == 5)
    #expect(file("8", "1", "varlink") == nil, "it is for another process")
    #expect(file("7", "2", "stored:stored:varlink") == nil, "there are fewer files than names")
    #expect(file("7", "1", "other") == nil)
    for wrong in [nil, "", "0", "-1", "x"] { #expect(file("7", wrong, "varlink") == nil) }
    #expect(file(nil, "1", "varlink") == nil)
    #expect(file("7", "1", nil) == nil)
  }

  /// What a bulkheadd does that cannot start: nobody waits for it any more, and systemd has no reason to start it again.
  @Test func waitingConnectionsAreTaken() throws {
    let folder = TemporaryFolder()
    let path = "\(folder.path)/socket"
    let listener = bh_unix_listen(path, 0o600, -1)
    try #require(listener >= 0)
    defer { close(listener) }
    #expect(SocketActivation.acceptWaiting(on: listener).isEmpty, "nobody waits")
    let clients = (0..<3).map { _ in unixClient(of: path) }
    #expect(clients.allSatisfy { $0 >= 0 })
    let taken = SocketActivation.acceptWaiting(on: listener)
    #expect(taken.count == 3)
    for file in taken { close(file) }
    var byte: UInt8 = 0
    for client in clients {
      #expect(read(client, &byte, 1) == 0)
      close(client)
    }
    var waiting = pollfd(fd: listener, events: Int16(POLLIN), revents: 0)
    #expect(poll(&waiting, 1, 0) == 0)
  }

  @Test func udevadmTriggerIsNews() throws {
    let path = "/devices/pci0000:00/0000:00:07.0/0000:06:00.0"
    let text = "change@\(path)\0ACTION=change\0DEVPATH=\(path)\0SUBSYSTEM=pci\0SYNTH_UUID=0\0"
    let news = UeventFeed.news(of: try Uevent(parsing: Array(text.utf8)))
    #expect(news == .changed(try #require(PCIAddress("0000:06:00.0"))))
  }
}
