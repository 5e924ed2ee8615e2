import Control
import Testing

@Suite struct PresentationTests {
  private var device: Device {
    var device = Device(
      address: "0000:01:00.0", vendorID: "1b36", deviceID: "0010", vendor: "Red Hat, Inc.",
      model: "QEMU NVM Express Controller", className: "Non-Volatile memory controller", state: "running")
    device.name = "disk0"
    device.kernelDriver = "vfio-pci"
    device.group = 12
    device.configured = true
    device.driver = "nvme"
    device.driverVersion = "0.1"
    device.since = 1000
    device.generation = 3
    device.brokerPid = 100
    device.driverPid = 200
    device.restarts = 2
    device.outlet = Outlet(
      socket: "/run/bulkhead/nbd/disk0.sock",
      units: [
        .init(
          index: 0, identifier: 1, name: "disk0", export: "ns1", size: 512 << 20, blockSize: 512, readOnly: false,
          model: "QEMU NVMe Ctrl",
          serial: "BULKHEAD0", kernelDevice: "/dev/nbd0", link: "/dev/bulkhead/disk0")
      ])
    var counters = Counters()
    counters.reads = 10
    counters.bytesRead = 40960
    device.counters = counters
    device.violations = [
      ViolationCount(name: "dma-fault", count: 7, detail: "DMA write at 0x1000: not set", time: 1060)
    ]
    device.dmaFault = DMAFaultDetail(
      device: "0000:01:00.0", access: "write", address: "0x1000", reason: "PTE Write access is not set",
      text: "DMAR: [DMA Write NO_PASID] Request device [01:00.0] ...", time: 1060)
    return device
  }

  @Test func theTableOfDevices() {
    var other = Device(
      address: "0000:03:00.0", vendorID: "8086", deviceID: "10d3", vendor: "Intel Corporation", model: "82574L",
      className: "Ethernet controller", state: "unconfigured")
    other.kernelDriver = "e1000e"
    let absent = Device(
      address: "0000:06:00.0", vendorID: "", deviceID: "", vendor: "", model: "", className: "", state: "absent")
    #expect(
      DeviceTable.text([device, other, absent]) == """
        DEVICE        NAME   DRIVER    STATE         OUTLET     RESTARTS  MODEL
        0000:01:00.0  disk0  nvme      running       /dev/nbd0  2         Red Hat, Inc. QEMU NVM Express Controller
        0000:03:00.0  -      (e1000e)  unconfigured  -          0         Intel Corporation 82574L
        0000:06:00.0  -      -         absent        -          0         -

        """)
    #expect(!DeviceTable.text([device], legend: false).contains("DEVICE"))
  }

  @Test func theStatusPage() {
    #expect(
      StatusPage.text(device, now: 1090) == """
        0000:01:00.0 (disk0)
                Device: Red Hat, Inc. QEMU NVM Express Controller [1b36:0010]
                 Class: Non-Volatile memory controller
           IOMMU group: 12
         Kernel driver: vfio-pci
                 State: running for 1 min
                Driver: nvme 0.1, process 200, generation 3
                Broker: process 100
              Restarts: 2
                Outlet: /dev/nbd0 (/dev/bulkhead/disk0), 512 MiB in blocks of 512
                        QEMU NVMe Ctrl serial BULKHEAD0, namespace 1, export "ns1"
            NBD socket: /run/bulkhead/nbd/disk0.sock
              Requests: 10 reads (40 KiB), 0 writes (0 bytes), 0 flushes, 0 discards
                        0 in flight, 0 replayed, 0 errors, 0 connections
                        0 interrupts, 0 wake-ups
            Violations: dma-fault: 7, the last 30 s ago: DMA write at 0x1000: not set
        Last DMA fault: write at 0x1000: PTE Write access is not set, 30 s ago
                        attributed to 0000:01:00.0 (disk0) by: DMAR: [DMA Write NO_PASID] Request device [01:00.0] ...

        """)
  }

  @Test func anEmulatedDeviceShowsWhatItIsMadeOf() {
    var device = Device(
      address: "ffff:00:00.0", vendorID: "1b36", deviceID: "0010", vendor: "Bulkhead",
      model: "Emulated NVM Express Controller", className: "Non-Volatile memory controller", state: "idle")
    device.emulation = .init(file: "/tmp/disk.img", size: 64 << 20, options: "nvme,lba=4096")
    let page = StatusPage.text(device, now: 0)
    #expect(page.contains("Emulated: nvme,lba=4096, on /tmp/disk.img (64 MiB)\n"))
    #expect(!page.contains("IOMMU"))
    #expect(!page.contains("Kernel driver"))
    device.emulation = .init(file: nil, size: nil, options: "nvme")
    #expect(StatusPage.text(device, now: 0).contains("Emulated: nvme, in memory\n"))
  }

  @Test func coloursOnlyWhereAsked() {
    #expect(!DeviceTable.text([device]).contains("\u{1b}"))
    let coloured = DeviceTable.text([device], style: Style(isColoured: true))
    #expect(coloured.contains("\u{1b}[32mrunning\u{1b}[0m"))
  }

  @Test func theCheckPage() {
    var check = IsolationCheck(
      address: "0000:01:00.0", vendorID: "1b36", deviceID: "0010", vendor: "Red Hat, Inc.", model: "QEMU NVMe",
      className: "NVM", interruptRemapping: "on")
    check.group = 3
    check.resetMethods = ["flr", "bus"]
    check.blockers = [Reason(code: "disk-mounted", message: "it is mounted on /", hint: "umount /", overridable: true)]
    #expect(
      CheckPage.text(check) == """
        0000:01:00.0 Red Hat, Inc. QEMU NVMe [1b36:0010]
            Isolatable: no
                 Class: NVM
         Kernel driver: none
           IOMMU group: 3
         Group members: it is alone
            Interrupts: remapping is on
                 Reset: flr, bus
               Drivers: none claims it
               Blocked: it is mounted on / (disk-mounted)
            What to do: umount /

        """)
    #expect(
      CheckPage.table([check], legend: false)
        == "0000:01:00.0  1b36:0010  3  -  -  flr  no: disk-mounted  Red Hat, Inc. QEMU NVMe\n")
  }

  @Test func units() {
    #expect(HumanUnits.bytes(0) == "0 bytes")
    #expect(HumanUnits.bytes(1023) == "1023 bytes")
    #expect(HumanUnits.bytes(1536) == "1.5 KiB")
    #expect(HumanUnits.bytes(512 << 20) == "512 MiB")
    #expect(HumanUnits.duration(seconds: -5) == "0 s")
    #expect(HumanUnits.duration(seconds: 61) == "1 min")
    #expect(HumanUnits.duration(seconds: 7260) == "2 h 1 min")
    #expect(HumanUnits.duration(seconds: 90_000) == "1 d 1 h")
  }
}
