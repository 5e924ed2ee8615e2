import Glibc
import Platform
import Testing
import VFIO

@testable import Broker

/// A virtio device that is part of the hypervisor reaches all memory, unless it says that it keeps to the IOMMU.
@Suite struct VirtioIsolationTests {
  /// A virtio device whose common structure is at 0x3010 of BAR 0, offering `features` in bits 63 to 32.
  private func backing(features: UInt32, device: UInt16 = 0x1041, vendor: UInt16 = 0x1AF4) throws -> FakeBacking {
    let memory = try SharedMemory(name: "bar", size: 16384)
    memory.mapping.base.storeBytes(of: features, toByteOffset: 0x3014, as: UInt32.self)
    let backing = FakeBacking(deviceFile: dup(memory.file.number))
    backing.config = [UInt8](repeating: 0, count: 4096)
    func put(_ offset: Int, _ values: [UInt8]) {
      backing.config.replaceSubrange(offset..<offset + values.count, with: values)
    }
    put(0x00, [vendor, device].flatMap { [UInt8($0 & 0xFF), UInt8($0 >> 8)] })
    put(0x06, [0x10])
    put(0x34, [0x40])
    // A common structure in a BAR that is not there, one in the page of the MSI-X table, and the one that counts.
    put(0x40, [0x09, 0x50, 16, 1, 5, 0, 0, 0, 0x10, 0x30, 0, 0, 0, 0x10, 0, 0])
    put(0x50, [0x09, 0x60, 16, 1, 0, 0, 0, 0, 0x10, 0x20, 0, 0, 0, 0x10, 0, 0])
    put(0x60, [0x09, 0x00, 16, 1, 0, 0, 0, 0, 0x10, 0x30, 0, 0, 0, 0x10, 0, 0])
    return backing
  }

  private func refusal(_ backing: FakeBacking) -> String? {
    do throws(Failure) { try VirtioIsolation.check(backing) } catch { return error.code }
    return nil
  }

  @Test func permitsOneBehindTheIOMMU() throws {
    let backing = try backing(features: 0b11)
    #expect(refusal(backing) == nil)
    #expect(backing.operations == ["memory on", "memory off"])
  }

  @Test(arguments: [0, 0b01, 0xFFFF_FFFD, 0xFFFF_FFFF] as [UInt32])
  func refusesOneThatIsNot(features: UInt32) throws {
    #expect(try refusal(backing(features: features)) == "broker-isolation")
  }

  @Test func refusesOneWithTheLegacyInterfaceOnly() throws {
    let backing = try backing(features: 0b11, device: 0x1000)
    backing.config[0x63] = 9
    #expect(refusal(backing) == "broker-isolation")
  }

  @Test func leavesOtherDevicesAlone() throws {
    for backing in [try backing(features: 0, vendor: 0x8086), try backing(features: 0, device: 0x1110)] {
      #expect(refusal(backing) == nil && backing.operations.isEmpty)
    }
  }
}
