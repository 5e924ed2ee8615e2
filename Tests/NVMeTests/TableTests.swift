import DriverKit
import Testing

@testable import NVMe

/// Every offset and size against the numbers of the specification, which are written out here a second time.
@Suite struct TableTests {
  @Test func registers() {
    // NVMe 2.0 figure 35.
    #expect(ControllerRegister.capabilities.offset == 0x0)
    #expect(ControllerRegister.version.offset == 0x8)
    #expect(ControllerRegister.interruptMaskSet.offset == 0xC)
    #expect(ControllerRegister.interruptMaskClear.offset == 0x10)
    #expect(ControllerRegister.configuration.offset == 0x14)
    #expect(ControllerRegister.status.offset == 0x1C)
    #expect(ControllerRegister.subsystemReset.offset == 0x20)
    #expect(ControllerRegister.adminQueueAttributes.offset == 0x24)
    #expect(ControllerRegister.adminSubmissionQueue.offset == 0x28)
    #expect(ControllerRegister.adminCompletionQueue.offset == 0x30)
  }

  @Test func registerWidths() {
    #expect(type(of: ControllerRegister.capabilities) == Register<UInt64>.self)
    #expect(type(of: ControllerRegister.adminSubmissionQueue) == Register<UInt64>.self)
    #expect(type(of: ControllerRegister.adminCompletionQueue) == Register<UInt64>.self)
    #expect(type(of: ControllerRegister.status) == Register<UInt32>.self)
  }

  @Test(arguments: [
    (UInt16(0), 4, 0x1000, 0x1004), (1, 4, 0x1008, 0x100C), (4, 4, 0x1020, 0x1024), (1, 8, 0x1010, 0x1018),
    (3, 64, 0x1180, 0x11C0),
  ])
  func doorbells(queue: UInt16, stride: Int, tail: Int, head: Int) {
    #expect(ControllerRegister.submissionTail(queue, stride: stride).offset == tail)
    #expect(ControllerRegister.completionHead(queue, stride: stride).offset == head)
  }

  @Test func capabilities() {
    // MQES 1023, CQR, TO 20 (10 s), DSTRD 2, NVM command set, MPSMIN 1, MPSMAX 4.
    let value: UInt64 = 0x0041_0022_1401_03ff
    let capabilities = ControllerCapabilities(rawValue: value)
    #expect(capabilities.maximumQueueEntries == 1024)
    #expect(capabilities.requiresContiguousQueues)
    #expect(capabilities.timeout == 10_000_000_000)
    #expect(capabilities.doorbellStride == 16)
    #expect(capabilities.supportsNVMCommandSet)
    #expect(capabilities.minimumPageSize == 8192)
    #expect(capabilities.maximumPageSize == 65536)
    #expect(ControllerCapabilities(rawValue: 0).timeout == 500_000_000)
    #expect(!ControllerCapabilities(rawValue: ~(1 << 37)).supportsNVMCommandSet)
  }

  @Test func configurationAndStatus() {
    #expect(ControllerConfiguration.nvmWith4KiBPages.rawValue == 0x0046_0001)
    #expect(ControllerConfiguration(rawValue: 0x0046_0001).shuttingDown.rawValue == 0x0046_4001)
    #expect(ControllerConfiguration(rawValue: 0x0046_c001).shuttingDown.rawValue == 0x0046_4001)
    #expect(ControllerConfiguration(rawValue: 0x0046_0001).disabled.rawValue == 0x0046_0000)
    #expect(ControllerStatus(rawValue: 1).isReady && !ControllerStatus(rawValue: 0xe).isReady)
    #expect(ControllerStatus(rawValue: 2).isFatal && !ControllerStatus(rawValue: 1).isFatal)
    #expect(ControllerStatus(rawValue: 8).isShutDown && !ControllerStatus(rawValue: 4).isShutDown)
    #expect(ControllerStatus(rawValue: 0xffff_ffff).isGone && !ControllerStatus(rawValue: 0x7fff_ffff).isGone)
  }

  @Test func submissionEntry() {
    typealias Entry = SubmissionEntry
    #expect(MemoryLayout<Entry>.size == 64 && MemoryLayout<Entry>.stride == 64)
    let offsets: [(PartialKeyPath<Entry>, Int)] = [
      (\.opcode, 0), (\.flags, 1), (\.commandID, 2), (\.namespace, 4), (\.dword2, 8), (\.dword3, 12), (\.metadata, 16),
      (\.prp1, 24), (\.prp2, 32), (\.dword10, 40), (\.dword11, 44), (\.dword12, 48), (\.dword13, 52), (\.dword14, 56),
      (\.dword15, 60),
    ]
    for (path, offset) in offsets { #expect(MemoryLayout<Entry>.offset(of: path) == offset, "\(path)") }
  }

  @Test func completionEntry() {
    typealias Entry = CompletionEntry
    #expect(MemoryLayout<Entry>.size == 16 && MemoryLayout<Entry>.stride == 16)
    let offsets: [(PartialKeyPath<Entry>, Int)] = [
      (\.result, 0), (\.dword1, 4), (\.submissionHead, 8), (\.submissionQueue, 10), (\.commandID, 12),
      (\.statusAndPhase, 14),
    ]
    for (path, offset) in offsets { #expect(MemoryLayout<Entry>.offset(of: path) == offset, "\(path)") }
    #expect(CompletionEntry.phaseOffset == 14)
  }

  @Test func datasetRange() {
    #expect(MemoryLayout<DatasetRange>.size == 16)
    #expect(MemoryLayout<DatasetRange>.offset(of: \.attributes) == 0)
    #expect(MemoryLayout<DatasetRange>.offset(of: \.blocks) == 4)
    #expect(MemoryLayout<DatasetRange>.offset(of: \.firstBlock) == 8)
  }

  @Test func opcodes() {
    #expect(AdminOpcode.deleteSubmissionQueue.rawValue == 0x00)
    #expect(AdminOpcode.createSubmissionQueue.rawValue == 0x01)
    #expect(AdminOpcode.deleteCompletionQueue.rawValue == 0x04)
    #expect(AdminOpcode.createCompletionQueue.rawValue == 0x05)
    #expect(AdminOpcode.identify.rawValue == 0x06)
    #expect(AdminOpcode.abort.rawValue == 0x08)
    #expect(AdminOpcode.setFeatures.rawValue == 0x09)
    #expect(NVMOpcode.flush.rawValue == 0x00)
    #expect(NVMOpcode.write.rawValue == 0x01)
    #expect(NVMOpcode.read.rawValue == 0x02)
    #expect(NVMOpcode.writeZeroes.rawValue == 0x08)
    #expect(NVMOpcode.datasetManagement.rawValue == 0x09)
  }

  /// Dwords 0 (without identifier), 1 and 10 to 12 as hexadecimal, from the figures of each command.
  @Test func commands() {
    func words(_ entry: SubmissionEntry) -> [UInt32] {
      [UInt32(entry.opcode) | UInt32(entry.flags) << 8, entry.namespace, entry.dword10, entry.dword11, entry.dword12]
    }
    #expect(words(.identify(.controller, to: 0x1000)) == [6, 0, 1, 0, 0])
    #expect(words(.identify(.namespace, namespace: 5, to: 0x1000)) == [6, 5, 0, 0, 0])
    #expect(words(.identify(.activeNamespaces, to: 0x1000)) == [6, 0, 2, 0, 0])
    #expect(words(.setQueueCount(4)) == [9, 0, 7, 0x0003_0003, 0])
    #expect(
      words(.createCompletionQueue(2, entries: 65, vector: 3, at: 0x1000)) == [5, 0, 0x0040_0002, 0x0003_0003, 0])
    #expect(words(.createSubmissionQueue(2, entries: 65, at: 0x1000)) == [1, 0, 0x0040_0002, 0x0002_0001, 0])
    #expect(words(.deleteQueue(.deleteSubmissionQueue, 2)) == [0, 0, 2, 0, 0])
    #expect(words(.abort(0x1234, on: 2)) == [8, 0, 0x1234_0002, 0, 0])
    #expect(
      words(.transfer(.read, namespace: 7, block: 0x1_2345_6789, blocks: 65536, forceUnitAccess: false))
        == [2, 7, 0x2345_6789, 1, 0xffff])
    #expect(
      words(.transfer(.write, namespace: 7, block: 8, blocks: 1, forceUnitAccess: true)) == [1, 7, 8, 0, 0x4000_0000])
    #expect(
      words(.writeZeroes(namespace: 1, block: 8, blocks: 2, forceUnitAccess: true, deallocate: true))
        == [8, 1, 8, 0, 0x4200_0001])
    #expect(words(.flush(namespace: 3)) == [0, 3, 0, 0, 0])
    #expect(words(.deallocate(namespace: 3, rangeAt: 0x1000)) == [9, 3, 0, 4, 0])
    #expect(SubmissionEntry.deallocate(namespace: 3, rangeAt: 0x1000).prp1 == 0x1000)
  }
}
