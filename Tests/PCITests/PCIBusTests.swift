import Glibc
import Platform
import Testing

@testable import PCI

@Suite struct PCIBusTests {
  private let fake = FakeTree()

  @Test func describesADevice() throws {
    fake.add("0000:01:00.0", driver: "nvme", group: 14)
    let device = try fake.bus.device(at: address("01:00.0"))
    #expect(device.vendorID == 0x1b36 && device.deviceID == 0x0010)
    #expect(device.subsystemVendorID == 0x1af4 && device.subsystemID == 0x1100)
    #expect(device.classCode == 0x010802)
    #expect(device.revision == 2)
    #expect(device.vendorName == "Red Hat, Inc.")
    #expect(device.deviceName == "QEMU NVM Express Controller")
    #expect(device.className == "Non-Volatile memory controller")
    #expect(device.driver == "nvme")
    #expect(device.iommuGroup == 14 && device.numaNode == nil)
    #expect(device.bars == [BaseAddress(index: 0, start: 0xfe00_0000, size: 0x4000, flags: 0x140204)])
    #expect(device.resetMethods == ["flr", "bus"])
    #expect(!device.isBridge)
    #expect(device.summary == "0000:01:00.0 Red Hat, Inc. QEMU NVM Express Controller [1b36:0010]")
  }

  @Test func ordersByAddressAndLeavesOutNothing() throws {
    for address in ["0000:02:00.0", "0000:00:01.0", "0001:00:00.0", "0000:01:00.1", "0000:01:00.0"] {
      fake.add(address)
    }
    #expect(
      try fake.bus.devices().map(\.address.description) == [
        "0000:00:01.0", "0000:01:00.0", "0000:01:00.1", "0000:02:00.0", "0001:00:00.0",
      ])
  }

  @Test func namesTheNumberWhenThereIsNoName() throws {
    fake.add("0000:01:00.0", vendor: 0x1234, device: 0x11e9)
    let device = try fake.bus.device(at: address("01:00.0"))
    #expect(device.deviceName == "Device 11e9")
  }

  @Test func aDeviceThatFallsApartIsAFailureNotAnExit() throws {
    fake.add("0000:01:00.0")
    #expect(remove("\(fake.root)/sys/bus/pci/devices/0000:01:00.0/vendor") == 0)
    let failure = try #require(throws: Failure.self) { try fake.bus.devices() }
    #expect(failure.code == "pci-scan" && failure.step.contains("vendor"))
  }

  @Test func noPCIAtAllIsAFailureNotAnExit() {
    let bus = PCIBus(tree: KernelTree(sys: "\(fake.root)/nowhere"))
    #expect(throws: Failure.self) { try bus.devices() }
  }

  @Test func anUnknownAddressIsNamed() throws {
    let missing = try address("03:00.0")
    let failure = try #require(throws: Failure.self) { try fake.bus.device(at: missing) }
    #expect(failure.code == "pci-no-device")
    #expect(failure.step.contains("0000:03:00.0"))
  }
}

@Suite struct IOMMUGroupTests {
  private let fake = FakeTree()

  private func group(_ number: Int) throws -> IOMMUGroup {
    let devices = try fake.bus.devices()
    let device = try #require(devices.first { $0.iommuGroup == number })
    return try #require(IOMMUGroup(of: device, among: devices))
  }

  private func addBridge(_ address: String, driver: String?, group: Int, config words: [Int: UInt16] = [:]) {
    fake.add(
      address, device: 0x000c, classCode: 0x060400, driver: driver, group: group,
      config: config(size: 4096, words.merging([0x0e: 0x0001]) { $1 }))
  }

  @Test func namesEachMemberInTheWay() throws {
    addBridge("0000:00:02.0", driver: "pcieport", group: 3)
    fake.add("0000:01:00.0", driver: "nvme", group: 3)
    fake.add("0000:01:00.1", vendor: 0x8086, device: 0x10d3, classCode: 0x020000, driver: "e1000e", group: 3)
    fake.add("0000:01:00.2", driver: "vfio-pci", group: 3)
    fake.add("0000:01:00.3", group: 3)
    fake.add("0000:02:00.0", driver: "nvme", group: 4)
    let group = try group(3)
    #expect(group.members.count == 5)
    #expect(group.bindable.map(\.address.description).first == "0000:01:00.0")
    #expect(group.blockers().map(\.device.address.description) == ["0000:01:00.0", "0000:01:00.1"])
    let claimed: Set = [try address("01:00.0")]
    #expect(!group.isViable)
    let refusal = try #require(group.refusal(claiming: claimed))
    #expect(refusal.code == "group-not-viable" && !refusal.overridable)
    #expect(refusal.message.contains("0000:01:00.1 Intel Corporation 82574L Gigabit Network Connection"))
    #expect(refusal.message.contains("driven by e1000e"))
    #expect(!refusal.message.contains("0000:01:00.0"))
  }

  @Test func aGroupOfOneIsFine() throws {
    fake.add("0000:02:00.0", driver: "nvme", group: 4)
    #expect(try group(4).refusal(claiming: [address("02:00.0")]) == nil)
  }

  @Test func explainsAGroupByItsBridges() throws {
    // 00:02.0 has no ACS, 00:03.0 has all of it on, 00:04.0 lacks UF.
    let express: [Int: UInt16] = [0x06: 0x10, 0x34: 0x40, 0x40: 0x0010, 0x42: 0x0042]
    addBridge("0000:00:02.0", driver: "pcieport", group: 1, config: express)
    for (address, control) in [("0000:00:03.0", UInt16(0x1d)), ("0000:00:04.0", 0x0d)] {
      addBridge(
        address, driver: "pcieport", group: 1,
        config: express.merging([0x100: 0x000d, 0x102: 0x0001, 0x106: control]) { $1 })
    }
    for (address, parent) in [
      ("0000:01:00.0", "0000:00:02.0"), ("0000:02:00.0", "0000:00:03.0"), ("0000:03:00.0", "0000:00:04.0"),
    ] {
      fake.add(address, parent: parent, group: 1)
    }
    let devices = try fake.bus.devices()
    let found = try ["01:00.0", "02:00.0", "03:00.0"].map { text in
      let device = try #require(devices.first { $0.address == PCIAddress(text) })
      let path = fake.bus.isolation(of: device, among: devices)
      #expect(path.count == 1)
      return try #require(path.first)
    }
    #expect(found.map(\.isIsolating) == [false, true, false])
    #expect(found[0].description.hasSuffix(": no ACS"))
    #expect(found[2].description.hasPrefix("0000:00:04.0") && found[2].description.hasSuffix(": ACS UF off"))
  }
}
