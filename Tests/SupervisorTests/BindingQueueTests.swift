import Glibc
import Platform
import Testing

@testable import PCI
@testable import Supervisor

/// Orders to the kernel, carried out by real children in a folder that looks like sysfs; the test is the kernel.
@Suite struct BindingQueueTests {
  private let folder = TemporaryFolder()
  private let loop = EventLoop()
  private let disk = PCIAddress("0000:01:00.0")!
  private let card = PCIAddress("0000:02:00.0")!
  private let missing = PCIAddress("0000:0f:00.0")!

  private func sys(_ path: String) -> String { "\(folder.path)/bus/pci/\(path)" }

  init() {
    for driver in ["nvme", "e1000e", "vfio-pci"] { folder.put("bus/pci/drivers/\(driver)/bind") }
    for module in ["vfio_pci", "vfio_iommu_type1"] { folder.put("module/\(module)/refcnt") }
    folder.put("bus/pci/drivers_probe")
    for (address, driver) in [(disk, "nvme"), (card, "e1000e")] {
      folder.put("bus/pci/devices/\(address)/driver_override", "(null)\n")
      setDriver(address, driver)
    }
    // The disk's driver hangs: who writes here waits until somebody reads.
    mkfifo(sys("drivers/nvme/unbind"), 0o600)
  }

  private func setDriver(_ address: PCIAddress, _ driver: String?) {
    unlink(sys("devices/\(address)/driver"))
    if let driver { symlink("../../drivers/\(driver)", sys("devices/\(address)/driver")) }
  }

  private func queue(patience: Nanoseconds = 10_000_000_000) -> BindingQueue {
    BindingQueue(loop: loop, executable: "\(buildFolder)/bulkheadd", patience: patience)
  }

  private func order(_ action: BindingOrder.Action, _ address: PCIAddress, former: String? = nil) -> BindingOrder {
    var order = BindingOrder(action, [BindingRecord(address: address, formerDriver: former, formerOverride: nil)])
    order.sys = folder.path
    return order
  }

  /// Turns the loop until `condition` holds, at most a minute.
  private func wait(_ condition: () -> Bool) throws {
    let end = monotonicNow() + 60_000_000_000
    while !condition() {
      try #require(monotonicNow() < end, "it does not come")
      try loop.turn(waiting: 10_000_000)
    }
  }

  @Test func saysHowDevicesAre() throws {
    let queue = queue()
    var answer: BindingAnswer?
    queue.submit(order(.prepare, card)) { answer = $0 }
    #expect(answer == nil)
    try wait { answer != nil }
    #expect(
      answer?.records == [BindingRecord(address: card, formerDriver: "e1000e", formerOverride: nil)]
        && answer?.failures == [])
  }

  @Test func failuresComeBackWhole() throws {
    let queue = queue()
    var answer: BindingAnswer?
    queue.submit(order(.prepare, missing)) { answer = $0 }
    try wait { answer != nil }
    #expect(answer == BindingAnswer(failures: [Failure("pci-no-device", "find \(missing)")]))
  }

  @Test func aChildWithoutAnAnswerIsAFailure() throws {
    let queue = BindingQueue(loop: loop, executable: "/bin/false")
    var answers: [BindingAnswer] = []
    queue.submit(order(.release, card)) { answers.append($0) }
    queue.submit(order(.bind, card)) { answers.append($0) }
    try wait { answers.count == 2 }
    #expect(answers.map { $0.failures.map(\.code) } == [["pci-release"], ["pci-bind"]])
    #expect(answers[0].failures[0].step.contains("\(card)") && answers[0].failures[0].step.contains("status 1"))
  }

  @Test func noChildIsAFailure() throws {
    let queue = BindingQueue(loop: loop, executable: "\(folder.path)/nothing")
    var answer: BindingAnswer?
    queue.submit(order(.release, card)) { answer = $0 }
    #expect(answer == nil)
    try wait { answer != nil }
    #expect(answer?.failures.map(\.code) == ["spawn"])
  }

  @Test func onlyTheDeviceWhoseDriverHangsWaits() throws {
    let queue = queue(patience: 50_000_000)
    var events: [String] = []
    queue.submit(
      order(.bind, disk, former: "nvme"), slow: { events.append("slow: \($0)") },
      done: { events.append("bound \($0.failures)") })
    queue.submit(order(.prepare, disk)) { events.append("disk: \($0.records.map { $0.formerDriver ?? "none" })") }
    queue.submit(order(.prepare, card)) { _ in events.append("card") }
    try wait { events.count == 2 }
    #expect(Set(events.map { $0.prefix(4) }) == ["slow", "card"])
    #expect(events.contains { $0.contains("take \(disk) from its driver") && $0.contains("process") })

    // The kernel comes to itself: it lets the device go, and gives it to whoever it is meant for.
    let unbind = Descriptor(owning: open(sys("drivers/nvme/unbind"), O_RDONLY))
    setDriver(disk, nil)
    try wait { FileText.contents(sys("drivers_probe")) == "\(disk)" }
    #expect(FileText.contents(sys("devices/\(disk)/driver_override")) == "vfio-pci")
    setDriver(disk, "vfio-pci")
    try wait { events.count == 4 }
    _ = consume unbind
    #expect(events.suffix(2) == ["bound []", "disk: [\"vfio-pci\"]"])
  }
}

/// The folder of the built executables: the test runner's own.
private let buildFolder = FileText.folder(of: realpath("/proc/self/exe", nil).map { String(cString: $0) } ?? "")
