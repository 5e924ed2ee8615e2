import PCI
import Testing

@testable import Supervisor

@Suite struct DMAFaultParserTests {
  private let device = PCIAddress("0000:01:00.0")!

  private func parse(_ lines: String...) -> DMAFault? {
    var parser = DMAFaultParser()
    var last: DMAFault?
    for line in lines { last = parser.take(line) }
    return last
  }

  /// Formats of Linux 4.x to 6.x, as the kernel's sources and bug reports have them.
  @Test(arguments: [
    (
      "DMAR: [DMA Write NO_PASID] Request device [01:00.0] fault addr 0x7f2a1000 [fault reason 0x05] PTE Write access is not set",
      "write", 0x7f2a_1000 as UInt64?, "PTE Write access is not set"
    ),
    (
      "DMAR: [DMA Read NO_PASID] Request device [0x01:0x00.0] fault addr 0xdead0000 [fault reason 0x06] PTE Read access is not set",
      "read", 0xdead_0000, "PTE Read access is not set"
    ),
    (
      "DMAR: [DMA Write] Request device [01:00.0] PASID ffffffff fault addr bf7f0000 [fault reason 05] PTE Write access is not set",
      "write", 0xbf7f_0000, "PTE Write access is not set"
    ),
    (
      "DMAR: [DMA Read PASID 0x1] Request device [0000:01:00.0] fault addr 0x1000 [fault reason 0x58] SM: Present bit in root entry is clear",
      "read", 0x1000, "SM: Present bit in root entry is clear"
    ),
    (
      "DMAR: [DMA Write] Request device [01:00.0] fault addr 1000 \n",
      "write", 0x1000, ""
    ),
    (
      "DMAR: [INTR-REMAP] Request device [01:00.0] fault index 0x0 [fault reason 0x22] Present field in the IRTE entry is clear",
      "interrupt", nil, "Present field in the IRTE entry is clear"
    ),
    (
      "vfio-pci 0000:01:00.0: AMD-Vi: Event logged [IO_PAGE_FAULT domain=0x0014 address=0xfee00000 flags=0x0020]",
      "write", 0xfee0_0000, "IO_PAGE_FAULT"
    ),
    (
      "AMD-Vi: Event logged [IO_PAGE_FAULT device=01:00.0 domain=0x000a address=0xfdf8030000 flags=0x0008]",
      "read", 0xfd_f803_0000, "IO_PAGE_FAULT"
    ),
    (
      "AMD-Vi: Event logged [IO_PAGE_FAULT device=0000:01:00.0 pasid=0x00000 domain=0x000a address=0x2000 flags=0x0030]",
      "write", 0x2000, "IO_PAGE_FAULT"
    ),
    (
      "arm-smmu 12c00000.iommu: Unhandled context fault: fsr=0x402, iova=0x00002000, fsynr=0x11, cbfrsynra=0x100, cb=0",
      "write", 0x2000, "context fault"
    ),
    (
      "arm-smmu-v3 9050000.smmuv3: event: F_TRANSLATION client: 0000:01:00.0 sid: 0x100 ssid: 0x0 iova: 0x3000 ipa: 0x0",
      "access", 0x3000, "F_TRANSLATION"
    ),
  ])
  func lineIsUnderstood(_ line: String, _ access: String, _ address: UInt64?, _ reason: String) throws {
    let fault = try #require(parse(line), "\(line)")
    #expect(fault.concerns(device), "\(fault)")
    #expect(!fault.concerns(PCIAddress("0000:02:00.0")!))
    #expect(fault.access == access)
    #expect(fault.address == address)
    #expect(fault.reason == reason)
    #expect(fault.count == 1)
  }

  @Test func aNamedSegmentIsExact() throws {
    let fault = try #require(
      parse("AMD-Vi: Event logged [IO_PAGE_FAULT device=0001:01:00.0 domain=0x1 address=0x1 flags=0x20]"))
    #expect(fault.concerns(PCIAddress("0001:01:00.0")!))
    #expect(!fault.concerns(device))
    let intel = try #require(
      parse("DMAR: [DMA Read NO_PASID] Request device [01:00.0] fault addr 0x1 [fault reason 0x06] x"))
    #expect(intel.concerns(PCIAddress("0001:01:00.0")!) && intel.concerns(device))
  }

  @Test func eventsOfSMMUv3AreReadOverSeveralLines() throws {
    let source = "arm-smmu-v3 9050000.smmuv3: "
    let fault = try #require(
      parse(
        source + "event 0x10 received:", source + " 0x0000010000000010", source + " 0x0000020000000000",
        source + " 0x00000000dead0000", source + " 0x0000000000000000"))
    #expect(fault.concerns(device))
    #expect(fault.address == 0xdead_0000)
    #expect(fault.access == "write")
    #expect(fault.reason == "F_TRANSLATION")
  }

  @Test func interruptedEventsAreNoFault() {
    let source = "arm-smmu-v3 9050000.smmuv3: "
    #expect(parse(source + "event 0x10 received:", source + " 0x0000010000000010", source + "CMD_SYNC timeout") == nil)
    #expect(parse(source + " 0x10", source + " 0x10", source + " 0x10", source + " 0x10") == nil)
  }

  @Test func whatWasLeftOutIsCounted() throws {
    let fault = try #require(parse("dmar_fault: 37 callbacks suppressed"))
    #expect(fault.requester == .previous)
    #expect(fault.count == 37)
    #expect(parse("amd_iommu_report_page_fault: 2 callbacks suppressed")?.count == 2)
    #expect(parse("net_ratelimit: 12 callbacks suppressed") == nil)
    #expect(parse("dmar_fault: -1 callbacks suppressed") == nil)
  }

  @Test(arguments: [
    "", "DMAR: DRHD: handling fault status reg 2", "DMAR: IOMMU enabled", "DMAR: [DMA Write] Request device [",
    "DMAR: [DMA Write] Request device [01:00] fault addr 0", "DMAR: [DMA Write] Request device [zz:00.0] fault addr 0",
    "DMAR: [DMA Write] Request device [01:20.0] fault addr 0",
    "AMD-Vi: Event logged [COMMAND_HARDWARE_ERROR address=0x1]",
    "AMD-Vi: Event logged [IO_PAGE_FAULT device=", "arm-smmu 1: cbfrsynra=zz",
    "some program: DMAR: [DMA Write] Request device [01:00.0] fault addr 0x0 [fault reason 0x05] forged by a name",
    "arm-smmu-v3", "event 0x10 received:",
  ])
  func otherLinesAreNoFaults(_ line: String) { #expect(parse(line) == nil) }

  @Test func recordsOfTheKernelsLog() {
    let record = "4,339,5140900,-;DMAR: a\\x09b: c\n SUBSYSTEM=pci\n DEVICE=+pci:0000:01:00.0\n"
    #expect(KernelLog.message(of: Array(record.utf8)) == "DMAR: a b: c")
    #expect(KernelLog.message(of: Array("no semicolon".utf8)) == nil)
    #expect(KernelLog.message(of: Array("1,2,3,-;".utf8)) == "")
  }
}
