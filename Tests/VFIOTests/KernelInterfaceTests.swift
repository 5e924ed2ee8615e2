import CBulkhead
import Testing

@testable import VFIO

/// What we take apart by hand must lie where the kernel's header puts it.
@Suite struct KernelInterfaceTests {
  @Test func ioctlNumbers() {
    // linux/vfio.h: _IO(';', 100 + n), in the order of bh_vfio_ioctl_number. 12, 13 and 14 are used twice.
    let expected: [UInt] = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 12]
    for (index, number) in expected.enumerated() {
      #expect(bh_vfio_ioctl_number(UInt32(index)) == 0x3b00 + 100 + number)
    }
    #expect(bh_vfio_ioctl_number(UInt32(expected.count)) == 0)
  }

  @Test func regionInfoLayout() {
    #expect(MemoryLayout<vfio_region_info>.size == RegionInfo.fixedSize)
    #expect(MemoryLayout<vfio_region_info>.offset(of: \.flags) == 4)
    #expect(MemoryLayout<vfio_region_info>.offset(of: \.index) == 8)
    #expect(MemoryLayout<vfio_region_info>.offset(of: \.cap_offset) == 12)
    #expect(MemoryLayout<vfio_region_info>.offset(of: \.size) == 16)
    #expect(MemoryLayout<vfio_region_info>.offset(of: \.offset) == 24)
    #expect(MemoryLayout<vfio_info_cap_header>.size == 8)
    #expect(MemoryLayout<vfio_info_cap_header>.offset(of: \.next) == 4)
    #expect(MemoryLayout<vfio_region_sparse_mmap_area>.size == 16)
  }

  @Test func iommuInfoLayout() {
    #expect(MemoryLayout<vfio_iommu_type1_info>.offset(of: \.iova_pgsizes) == 8)
    #expect(MemoryLayout<vfio_iommu_type1_info>.offset(of: \.cap_offset) == 16)
    #expect(MemoryLayout<vfio_iova_range>.size == 16)
    #expect(MemoryLayout<vfio_iommu_type1_dma_map>.size == 32)
    #expect(MemoryLayout<vfio_iommu_type1_dma_unmap>.size == 24)
    #expect(MemoryLayout<vfio_irq_set>.size == 20)
  }

  @Test func hotResetLayout() {
    #expect(MemoryLayout<vfio_pci_dependent_device>.size == HotResetPeer.size)
    #expect(MemoryLayout<vfio_pci_dependent_device>.offset(of: \.segment) == 4)
    #expect(MemoryLayout<vfio_pci_dependent_device>.offset(of: \.devfn) == 7)
    #expect(MemoryLayout<vfio_pci_hot_reset_info>.size == HotResetPeer.fixedSize)
  }

  @Test func indexesAndFlags() {
    #expect(InterruptKind.msix.rawValue == UInt32(VFIO_PCI_MSIX_IRQ_INDEX))
    #expect(InterruptKind.error.rawValue == UInt32(VFIO_PCI_ERR_IRQ_INDEX))
    #expect(InterruptKind.request.rawValue == UInt32(VFIO_PCI_REQ_IRQ_INDEX))
    #expect(DMAAccess.deviceReads.vfioFlags == UInt32(VFIO_DMA_MAP_FLAG_READ))
    #expect(DMAAccess.both.vfioFlags == UInt32(VFIO_DMA_MAP_FLAG_READ | VFIO_DMA_MAP_FLAG_WRITE))
  }

  @Test func tooManyVectorsNeverReachTheKernel() {
    var descriptors = [Int32](repeating: -1, count: 1)
    #expect(bh_vfio_set_eventfds(-1, 2, 0, UInt32(BH_VFIO_MAX_VECTORS) + 1, &descriptors) == -22)
    #expect(bh_vfio_set_eventfds(-1, 2, 0, 0, &descriptors) == -22)
  }
}
