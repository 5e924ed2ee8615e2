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
    device.desired = "running"
    device.origin = "/etc/bulkhead/bulkhead.toml:3"
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

  static var interface: Outlet.Interface {
    var statistics = Outlet.InterfaceStatistics()
    statistics.receivedPackets = 12
    statistics.receivedBytes = 2048
    statistics.sendDropped = 3
    return Outlet.Interface(
      name: "lan0", index: 5, namespace: "blue", master: "br0", address: "52:54:00:00:00:01", mtu: 1500, up: true,
      carrier: true, promiscuous: true, allMulticast: false, multicast: ["01:00:5e:00:00:01"], queuePairs: 1,
      datapath: "broker", statistics: statistics)
  }

  static var port: Outlet.Port {
    Outlet.Port(
      model: "Intel 82574L", firmware: "2.1", address: "52:54:00:00:00:02", maximumMTU: 9000,
      offloads: ["transmit-checksum"], queuePairs: 1, up: true, speed: 1000, fullDuplex: true,
      settings: Outlet.PortSettings(
        enabled: true, address: "52:54:00:00:00:01", mtu: 1500, promiscuous: true, allMulticast: false, multicast: []),
      settingsError: "EINVAL", counters: ["received-frames": 12, "hangs": 0])
  }

  private var nic: Device {
    var device = Device(
      address: "0000:03:00.0", vendorID: "8086", deviceID: "10d3", vendor: "Intel Corporation", model: "82574L",
      className: "Ethernet controller", state: "running")
    device.name = "uplink"
    device.driver = "e1000e"
    device.group = 18
    device.desired = "stopped"
    var outlet = Outlet(socket: nil, units: [])
    outlet.interface = PresentationTests.interface
    outlet.port = PresentationTests.port
    device.outlet = outlet
    var counters = Counters()
    counters.framesOut = 9
    counters.bytesIn = 2048
    counters.framesIn = 12
    device.counters = counters
    return device
  }

  @Test func theStatusPageOfANetworkDevice() {
    #expect(
      StatusPage.text(nic, now: 1090) == """
        0000:03:00.0 (uplink)
                Device: Intel Corporation 82574L [8086:10d3]
                 Class: Ethernet controller
           IOMMU group: 18
         Kernel driver: none
               Desired: stopped
                 State: running
                Driver: e1000e
              Restarts: 0
             Interface: lan0, index 5, in the network namespace blue, part of br0
                        up, carrier, 52:54:00:00:00:01, MTU 1500, promiscuous, 1 multicast address
                        received 12 packets (2 KiB)
                        sent 0 packets (0 bytes), 3 dropped
              Datapath: broker (it moves the frames itself), 1 queue pair
                  Port: Intel 82574L, 52:54:00:00:00:02, firmware 2.1
                        MTU up to 9000, offloads: transmit-checksum
                  Link: up, 1000 Mbit/s, full duplex
              Settings: enabled, 52:54:00:00:00:01, MTU 1500, promiscuous
                        the driver refused what the interface says now: EINVAL
          NIC counters: received-frames 12
         Broker's work: moved 9 frames out (0 bytes), 12 in (2 KiB), 0 refused by the kernel
                        0 interrupts, 0 wake-ups
            Violations: none

        """)
    #expect(DeviceTable.text([nic], legend: false).contains("  stopped  running  lan0@blue  "))
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
        DEVICE        NAME   DRIVER    DESIRED  STATE         OUTLET     RESTARTS  MODEL
        0000:01:00.0  disk0  nvme      running  running       /dev/nbd0  2         Red Hat, Inc. QEMU NVM Express Controller
        0000:03:00.0  -      (e1000e)  kernel   unconfigured  -          0         Intel Corporation 82574L
        0000:06:00.0  -      -         kernel   absent        -          0         -

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
               Desired: running, by /etc/bulkhead/bulkhead.toml:3
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

  @Test(
    arguments: [
      (nil, nil, true), ("", "xterm", true), ("1", "xterm", false), ("0", nil, false), (nil, "dumb", false),
    ] as [(String?, String?, Bool)])
  func whatTheEnvironmentSaysOfColours(_ noColour: String?, _ terminal: String?, _ isColoured: Bool) {
    let painted = Style(noColour: noColour, terminal: terminal).paint("x", .good)
    #expect(painted.contains("\u{1b}") == isColoured)
  }

  @Test func completions() {
    #expect(CompletionWord.text("0000:01:00.0", isForZsh: true) == "0000\\:01\\:00.0")
    #expect(CompletionWord.text("a\\b", isForZsh: true) == "a\\\\b")
    #expect(CompletionWord.text("0000:01:00.0", isForZsh: false) == "0000:01:00.0")
  }

  @Test func timesHaveTheirDay() {
    let text = LocalTime.text(1_795_000_000)
    #expect(text.wholeMatch(of: /2026-11-1[78]T\d\d:\d\d:40[+-]\d{4}/) != nil, "\(text)")
  }

  @Test func theCheckPage() {
    var check = IsolationCheck(
      address: "0000:01:00.0", vendorID: "1b36", deviceID: "0010", vendor: "Red Hat, Inc.", model: "QEMU NVMe",
      className: "NVM", interruptRemapping: "on")
    #expect(CheckPage.text(check).contains("Drivers: not known, as bulkheadd does not answer"))
    check.drivers = []
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

  @Test func thePageOfTheConfiguration() {
    let device = ConfiguredDevice(
      address: "0000:01:00.0", name: "disk0", driver: "nvme", entry: "/etc/b.toml:1",
      settings: [
        Setting(key: "name", value: "\"disk0\"", source: .file, file: "/etc/b.toml", line: 2),
        Setting(key: "limits.cpu", value: nil, source: .builtIn, note: "none"),
        Setting(key: "limits.arena", value: "\"4M\"", source: .manifest, file: "/usr/lib/nvme.toml"),
        Setting(key: "outlet.interface", value: "\"bh-x\"", source: .derived, note: "from the name"),
      ])
    #expect(
      ConfigurationPage.text([device]) == """
        [[device]]  # 0000:01:00.0, by the entry at /etc/b.toml:1
        name = "disk0"             # /etc/b.toml:2
        # limits.cpu is not set    # default, none
        limits.arena = "4M"        # /usr/lib/nvme.toml
        outlet.interface = "bh-x"  # from the name

        """)
  }

  @Test func theTableOfDrivers() {
    var nvme = DriverDetail(name: "nvme", manifest: "/usr/lib/nvme.toml")
    nvme.deviceClass = "block"
    nvme.version = "1.0"
    nvme.matches = ["class 010802"]
    nvme.devices = ["0000:01:00.0", "0000:02:00.0"]
    var broken = DriverDetail(name: "x", manifest: "/usr/lib/x.toml")
    broken.issues = [Issue(file: "/usr/lib/x.toml", line: 3, column: 1, message: "bad", hint: "mend it")]
    #expect(
      DriverTable.text([nvme, broken]) == """
        DRIVER  CLASS   VERSION  MATCHES       DEVICES                    MANIFEST
        nvme    block   1.0      class 010802  0000:01:00.0,0000:02:00.0  /usr/lib/nvme.toml
        x       broken  -        -             -                          /usr/lib/x.toml

        """)
    #expect(!DriverTable.text([nvme], legend: false).contains("DRIVER"))
    #expect(broken.issues[0].text == "/usr/lib/x.toml:3:1: error: bad\n    Hint: mend it\n")
    #expect(DriverTable.text([broken], style: Style(isColoured: true)).contains("\u{1b}[31mbroken"))
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
