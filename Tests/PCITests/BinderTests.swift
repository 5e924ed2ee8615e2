import Platform
import Testing

@testable import PCI

@Suite struct BinderTests {
  private let kernel = FakeKernel()
  private let disk = "0000:01:00.0"
  private let card = "0000:01:00.1"

  private var binder: Binder { Binder(sysfs: kernel) }
  private func record(_ text: String) throws -> BindingRecord { try binder.prepare(address(text)) }

  @Test func preparingChangesNothing() throws {
    kernel.add(disk, driver: "nvme")
    #expect(try record(disk) == BindingRecord(address: address(disk), formerDriver: "nvme", formerOverride: nil))
    #expect(kernel.writes.isEmpty)
  }

  @Test func bindsAndGivesBack() throws {
    kernel.add(disk, driver: "nvme")
    let record = try record(disk)
    try binder.bind(record)
    #expect(kernel.devices[disk]?.driver == "vfio-pci")
    try binder.release(record)
    #expect(kernel.devices[disk]?.driver == "nvme")
    #expect(kernel.devices[disk]?.override == nil)
    #expect(
      kernel.writes == [
        "vfio-pci > bus/pci/devices/0000:01:00.0/driver_override", "0000:01:00.0 > bus/pci/drivers/nvme/unbind",
        "0000:01:00.0 > bus/pci/drivers_probe", "\\n > bus/pci/devices/0000:01:00.0/driver_override",
        "0000:01:00.0 > bus/pci/drivers/vfio-pci/unbind", "0000:01:00.0 > bus/pci/drivers_probe",
      ])
  }

  @Test func waitsForTheLinkToChange() throws {
    kernel.add(disk, driver: "nvme")
    kernel.latency = 7
    let record = try record(disk)
    try binder.bind(record)
    try binder.release(record)
    #expect(kernel.devices[disk]?.driver == "nvme")
  }

  @Test func aProbeThatNobodyAnswersIsAFailure() throws {
    kernel.add(disk, driver: "nvme")
    kernel.failingProbes[disk] = ["vfio-pci"]
    let record = try record(disk)
    let failure = try #require(throws: Failure.self) { try binder.bind(record) }
    #expect(failure.code == "pci-bind")
    #expect(failure.step.contains(disk) && failure.step.contains("none"))
  }

  @Test func withoutTheModuleNothingIsTouched() throws {
    kernel.add(disk, driver: "nvme")
    kernel.drivers.remove("vfio-pci")
    let record = try record(disk)
    let failure = try #require(throws: Failure.self) { try binder.bind(record) }
    #expect(failure.code == "pci-vfio-missing" && !failure.hint.isEmpty)
    #expect(kernel.writes.isEmpty)
  }

  @Test func aGroupIsBoundWholeOrNotAtAll() throws {
    kernel.add(disk, driver: "nvme")
    kernel.add(card, driver: "e1000e")
    kernel.failingProbes[card] = ["vfio-pci"]
    let records = try [record(disk), record(card)]
    #expect(throws: Failure.self) { try binder.bindAll(records) }
    #expect(kernel.devices[disk]?.driver == "nvme" && kernel.devices[disk]?.override == nil)
    #expect(kernel.devices[card]?.driver == "e1000e" && kernel.devices[card]?.override == nil)
    kernel.failingProbes = [:]
    try binder.bindAll(records)
    #expect(kernel.devices.values.allSatisfy { $0.driver == "vfio-pci" })
  }

  @Test func aFailedUndoIsToldToo() throws {
    kernel.add(disk, driver: "nvme")
    kernel.add(card, driver: "e1000e")
    kernel.failingProbes = [disk: ["nvme"], card: ["vfio-pci"]]
    let records = try [record(disk), record(card)]
    let failure = try #require(throws: Failure.self) { try binder.bindAll(records) }
    #expect(failure.step.contains(card))
    #expect(failure.hint.contains("not undone") && failure.hint.contains(disk))
  }

  @Test func aDeviceWithoutADriverStaysWithout() throws {
    kernel.add(disk, driver: nil, native: "nvme")
    let record = try record(disk)
    try binder.bind(record)
    #expect(kernel.devices[disk]?.driver == "vfio-pci")
    try binder.release(record)
    #expect(kernel.devices[disk]?.driver == nil && kernel.devices[disk]?.override == nil)
  }

  @Test func aFormerOverrideIsPutBack() throws {
    kernel.add(disk, driver: "e1000e", native: "nvme")
    kernel.devices[disk]?.override = "e1000e"
    let record = try record(disk)
    try binder.bind(record)
    try binder.release(record)
    #expect(kernel.devices[disk]?.override == "e1000e" && kernel.devices[disk]?.driver == "e1000e")
  }

  @Test func aFormerDriverThatNoLongerMatchesIsAskedByName() throws {
    kernel.add(disk, driver: "nvme", native: "e1000e")
    let record = try record(disk)
    try binder.bind(record)
    try binder.release(record)
    #expect(kernel.devices[disk]?.driver == "nvme")
  }

  @Test func aFormerDriverThatIsGoneIsNamed() throws {
    kernel.add(disk, driver: "nvme")
    let record = try record(disk)
    try binder.bind(record)
    kernel.drivers.remove("nvme")
    let failure = try #require(throws: Failure.self) { try binder.release(record) }
    #expect(failure.code == "pci-release" && failure.step.contains("nvme"))
  }

  @Test func releasingTwiceOrAfterUnplugDoesNothing() throws {
    kernel.add(disk, driver: "nvme")
    let record = try record(disk)
    try binder.bind(record)
    try binder.release(record)
    try binder.release(record)
    #expect(kernel.devices[disk]?.driver == "nvme")
    kernel.devices = [:]
    try binder.release(record)
  }

  @Test(arguments: ["nvme", nil])
  func releasingAfterACrashHalfWay(driver: String?) throws {
    // The override is written; the device is still with its driver, or already without.
    kernel.add(disk, driver: driver, native: "nvme")
    kernel.devices[disk]?.override = "vfio-pci"
    try binder.release(BindingRecord(address: address(disk), formerDriver: "nvme", formerOverride: nil))
    #expect(kernel.devices[disk]?.driver == "nvme" && kernel.devices[disk]?.override == nil)
  }

  @Test func aDeviceThatSomebodyElseBoundIsLeftAlone() throws {
    kernel.add(disk, driver: "nvme")
    let record = try record(disk)
    try binder.bind(record)
    kernel.devices[disk]?.driver = "e1000e"
    try binder.release(record)
    #expect(kernel.devices[disk]?.driver == "e1000e")
  }

  @Test func bindingTwiceIsHarmless() throws {
    kernel.add(disk, driver: "nvme")
    let record = try record(disk)
    try binder.bind(record)
    try binder.bind(record)
    #expect(kernel.devices[disk]?.driver == "vfio-pci")
    #expect(kernel.writes.filter { $0.contains("unbind") }.count == 1)
  }
}
