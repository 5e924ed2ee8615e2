import Testing

@testable import PCI

@Suite struct SafetyCheckTests {
  private let fake = FakeTree()
  private let disk = "sys/devices/pci0000:00/0000:01:00.0/nvme/nvme0/nvme0n1"
  private let remapping = "  0: 5 IR-IO-APIC 2-edge timer\n 24: 1 PCI-MSI 0-edge nvme0q0\n"

  init() {
    fake.add("0000:01:00.0", driver: "nvme", group: 1)
    fake.write("proc/interrupts", remapping)
    fake.write("proc/swaps", "Filename Type Size Used Priority\n")
    fake.write("proc/self/mountinfo", "")
  }

  private func addDisk() {
    fake.addDisk("nvme0n1", at: disk, number: "259:0")
    fake.addDisk("nvme0n1p1", at: "\(disk)/nvme0n1p1", number: "259:1")
  }

  private func refusals(_ probe: FakeProbe = FakeProbe(), force: Bool = false) throws -> [Refusal] {
    let device = try fake.bus.device(at: address("01:00.0"))
    return SafetyCheck(tree: fake.tree, probe: probe).refusals(for: device, force: force)
  }

  private func mount(_ number: String, _ place: String, _ source: String) {
    fake.write(
      "proc/self/mountinfo",
      "22 1 253:0 / / rw shared:1 - ext4 /dev/vda rw\n36 22 \(number) / \(place) rw,noatime shared:2 - ext4 \(source) rw\n"
    )
  }

  @Test func anIdleDiskIsFree() throws {
    addDisk()
    #expect(try refusals() == [])
  }

  @Test func aMountedPartition() throws {
    addDisk()
    mount("259:1", "/srv/my\\040data", "/dev/root")
    let found = try refusals()
    #expect(found.map(\.code) == ["disk-mounted"])
    #expect(found[0].message.contains("/dev/nvme0n1p1") && found[0].message.contains("/srv/my data"))
    #expect(found[0].message.contains("QEMU NVM Express Controller") && found[0].hint.contains("umount"))
    #expect(try refusals(force: true) == [])
  }

  @Test func aFileSystemThatOnlyNamesItsSource() throws {
    addDisk()
    fake.write("dev/nvme0n1", "")
    fake.link("dev/disk/by-label/data", to: "dev/nvme0n1")
    mount("0:45", "/srv", "/dev/disk/by-label/data")
    #expect(try refusals().map(\.code) == ["disk-mounted"])
  }

  @Test func anotherDiskOfABtrfs() throws {
    addDisk()
    fake.link("sys/fs/btrfs/0f1e/devices/nvme0n1", to: disk)
    #expect(try refusals().map(\.code) == ["disk-mounted"])
  }

  @Test func swap() throws {
    addDisk()
    fake.write(
      "proc/swaps", "Filename Type Size Used Priority\n/dev/nvme0n1p1\tpartition\t1024 0 -2\n/swapfile file 1 0 -3\n")
    #expect(try refusals().map(\.code) == ["disk-swap"])
  }

  @Test func aMemberOfLVMIsNamed() throws {
    addDisk()
    fake.makeDirectory("\(disk)/nvme0n1p1/holders/dm-0")
    fake.addDisk("dm-0", at: "sys/devices/virtual/block/dm-0", number: "254:0")
    fake.write("sys/devices/virtual/block/dm-0/dm/name", "vg-root\n")
    let found = try refusals()
    #expect(found.map(\.code) == ["disk-held"])
    #expect(found[0].message.contains("dm-0 (vg-root)"))
  }

  @Test func exclusiveUseThatShowsNowhereElse() throws {
    addDisk()
    #expect(try refusals(FakeProbe(claimed: ["nvme0n1"])).map(\.code) == ["disk-claimed"])
    mount("259:0", "/srv", "/dev/nvme0n1")
    #expect(try refusals(FakeProbe(claimed: ["nvme0n1"])).map(\.code) == ["disk-mounted"])
  }

  @Test func multipathDisksBelongToTheirControllers() throws {
    let subsystem = "sys/devices/virtual/nvme-subsystem/nvme-subsys0"
    fake.makeDirectory("sys/devices/pci0000:00/0000:01:00.0/nvme/nvme0")
    fake.addDisk("nvme0n1", at: "\(subsystem)/nvme0n1", number: "259:0")
    fake.link("\(subsystem)/nvme0", to: "sys/devices/pci0000:00/0000:01:00.0/nvme/nvme0")
    fake.link("sys/class/nvme-subsystem/nvme-subsys0", to: subsystem)
    mount("259:0", "/srv", "/dev/nvme0n1")
    #expect(try refusals().map(\.code) == ["disk-mounted"])
  }

  @Test func disksOfOtherDevicesDoNotMatter() throws {
    let other = fake.add("0000:01:00.1", driver: "nvme", group: 2)
    fake.addDisk("nvme1n1", at: "\(other)/nvme/nvme1/nvme1n1", number: "259:4")
    mount("259:4", "/srv", "/dev/nvme1n1")
    #expect(try refusals() == [])
  }

  private func addInterface(flags: String) {
    let path = "sys/devices/pci0000:00/0000:01:00.0/net/eth0"
    fake.write("\(path)/flags", flags)
    fake.link("sys/class/net/eth0", to: path)
  }

  /// Its addresses are those of what is on it.
  @Test(arguments: [true, false]) func anInterfaceThatCarriesOthers(isUp: Bool) throws {
    addInterface(flags: isUp ? "0x1003\n" : "0x1002\n")
    fake.makeDirectory("sys/devices/pci0000:00/0000:01:00.0/net/eth0/upper_eth0.100")
    let found = try refusals(FakeProbe(addresses: [:]))
    #expect(found.map(\.code) == (isUp ? ["interface-in-use"] : []))
    #expect(found.allSatisfy { $0.message.contains("is up, and carries eth0.100") })
  }

  @Test func anInterfaceInUse() throws {
    addInterface(flags: "0x1003\n")
    let probe = FakeProbe(addresses: ["eth0": ["192.0.2.7"]])
    let found = try refusals(probe)
    #expect(found.map(\.code) == ["interface-in-use"])
    #expect(found[0].message.contains("eth0") && found[0].message.contains("192.0.2.7"))
    #expect(try refusals(probe, force: true) == [])
    #expect(try refusals(FakeProbe()) == [])  // up, but nobody talks to it
  }

  @Test func anInterfaceThatIsDownMayKeepItsAddress() throws {
    addInterface(flags: "0x1002\n")
    #expect(try refusals(FakeProbe(addresses: ["eth0": ["192.0.2.7"]])) == [])
  }

  @Test func anInterfaceOfABridge() throws {
    addInterface(flags: "0x1002\n")
    fake.makeDirectory("sys/devices/virtual/net/br0")
    fake.link("sys/class/net/eth0/master", to: "sys/devices/virtual/net/br0")
    let found = try refusals()
    #expect(found.map(\.code) == ["interface-enslaved"])
    #expect(found[0].message.contains("br0"))
  }

  @Test func unsafeInterruptsAreNeverOverridden() throws {
    fake.write("sys/module/vfio_iommu_type1/parameters/allow_unsafe_interrupts", "N\n")
    #expect(try refusals() == [])
    fake.write("sys/module/vfio_iommu_type1/parameters/allow_unsafe_interrupts", "Y\n")
    #expect(try refusals(force: true).map(\.code) == ["unsafe-interrupts"])
    fake.write("sys/module/vfio/parameters/enable_unsafe_noiommu_mode", "Y\n")
    #expect(try refusals(force: true).map(\.code) == ["unsafe-noiommu", "unsafe-interrupts"])
  }

  @Test func noIOMMUIsNeverOverridden() throws {
    fake.add("0000:02:00.0")
    let device = try fake.bus.device(at: address("02:00.0"))
    let found = SafetyCheck(tree: fake.tree, probe: FakeProbe()).refusals(for: device, force: true)
    #expect(found.map(\.code) == ["iommu-missing"])
    #expect(found[0].hint.contains("intel_iommu=on"))
  }

  @Test(arguments: [
    (" 0: 5 IR-IO-APIC 2-edge timer\n", InterruptRemapping.present),
    ("24: 0 IR-PCI-MSIX-0000:00:01.0 0-edge x\n", .present),
    (" 0: 5 IO-APIC 2-edge timer\n25: 0 PCI-MSI 0-edge x\n", .missing), ("13: 0 GICv3 30 Level arch_timer\n", .unknown),
    ("", .unknown),
  ])
  func interruptRemapping(interrupts: String, expected: InterruptRemapping) throws {
    fake.write("proc/interrupts", interrupts)
    #expect(SafetyCheck(tree: fake.tree, probe: FakeProbe()).interruptRemapping() == expected)
    let codes = try refusals(force: true).map(\.code)
    #expect(codes == (expected == .missing ? ["interrupt-remapping-missing"] : []))
  }

  @Test func aBridgeIsNotADevice() throws {
    fake.add("0000:00:1f.0", device: 0x000c, classCode: 0x060100, group: 9)
    let device = try fake.bus.device(at: address("00:1f.0"))
    let found = SafetyCheck(tree: fake.tree, probe: FakeProbe()).refusals(for: device, force: true)
    #expect(found.map(\.code) == ["pci-bridge"])
  }
}
