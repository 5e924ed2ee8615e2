import CBulkhead
import Platform
import Testing

@testable import Netlink

@Suite struct UeventTests {
  private func message(_ lines: String...) -> [UInt8] { lines.flatMap { Array($0.utf8) + [0] } }

  @Test func parsesAMessageOfTheKernel() throws {
    let event = try Uevent(
      parsing: message(
        "add@/devices/pci0000:00/0000:00:02.0/0000:01:00.0", "ACTION=add",
        "DEVPATH=/devices/pci0000:00/0000:00:02.0/0000:01:00.0", "SUBSYSTEM=pci", "PCI_CLASS=10802",
        "MODALIAS=pci:v00001B36d00000010sv=odd", "EMPTY=", "SEQNUM=1234"))
    #expect(event.action == "add")
    #expect(event.devpath == "/devices/pci0000:00/0000:00:02.0/0000:01:00.0")
    #expect(event.subsystem == "pci")
    #expect(event.properties["PCI_CLASS"] == "10802")
    #expect(event.properties["MODALIAS"] == "pci:v00001B36d00000010sv=odd")
    #expect(event.properties["EMPTY"] == "")
    #expect(event.properties.count == 7)
  }

  @Test(
    "anything else is refused",
    arguments: [
      "", "\0", "add@/devices/x", "add\0", "add@/d\0ACTION=remove\0DEVPATH=/d\0", "add@/d\0ACTION=add\0DEVPATH=/e\0",
      "add@/d\0ACTION=add\0", "add@d\0ACTION=add\0DEVPATH=d\0", "@/d\0ACTION=\0DEVPATH=/d\0",
      "add@/d\0ACTION=add\0DEVPATH=/d\0novalue\0", "add@/d\0ACTION=add\0DEVPATH=/d\0=value\0",
      "add@/d\0ACTION=add\0DEVPATH=/d\0\0", "add@/d\0ACTION=add\0DEVPATH=/d\0cut", "libudev\0\u{fe}\u{ed}",
    ])
  func malformed(text: String) {
    #expect(throws: Failure.self) { try Uevent(parsing: Array(text.utf8)) }
  }

  @Test func onlyTheKernelIsHeard() {
    let kernel = bh_netlink_sender(port: 0, groups: 1, has_credentials: 1, uid: 0, truncated: 0)
    #expect(UeventSocket.isFromKernel(kernel))
    let others: [(inout bh_netlink_sender) -> Void] = [
      { $0.port = 4711 }, { $0.groups = 0 }, { $0.groups = 2 }, { $0.has_credentials = 0 }, { $0.uid = 1000 },
      { $0.truncated = 1 },
    ]
    for change in others {
      var sender = kernel
      change(&sender)
      #expect(!UeventSocket.isFromKernel(sender))
    }
  }
}
