// swift-tools-version: 6.1
import PackageDescription

/// Drivers, jail and broker are fully static executables: they start in an empty root directory.
let fullyStatic: [LinkerSetting] = [.unsafeFlags(["-static-executable"])]

/// Programs that load libraries resolve all symbols at start, so that the tables of addresses can be made read-only.
let boundAtStart: [LinkerSetting] = [.unsafeFlags(["-Xlinker", "-z", "-Xlinker", "now"])]

let package = Package(
  name: "bulkhead",
  products: [
    .executable(name: "bulkheadd", targets: ["bulkheadd"]),
    .executable(name: "bulkheadctl", targets: ["bulkheadctl"]),
    .executable(name: "bulkhead-broker", targets: ["bulkhead-broker"]),
    .executable(name: "bulkhead-broker-emulated", targets: ["bulkhead-broker-emulated"]),
    .executable(name: "bulkhead-jail", targets: ["bulkhead-jail"]),
    .executable(name: "udriver-nvme", targets: ["udriver-nvme"]),
    .executable(name: "udriver-e1000e", targets: ["udriver-e1000e"]),
    .executable(name: "udriver-virtio-net", targets: ["udriver-virtio-net"]),
    .executable(name: "udriver-hostile", targets: ["udriver-hostile"]),
    .executable(name: "udriver-hostile-network", targets: ["udriver-hostile-network"]),
  ],
  dependencies: [
    .package(url: "https://github.com/apple/swift-argument-parser", from: "1.8.2"),
    .package(url: "https://github.com/apple/swift-log", from: "1.16.2"),
    .package(url: "https://github.com/LebJe/TOMLKit", from: "0.6.0"),
  ],
  targets: [
    // Thin C and system libraries
    .target(name: "CBulkhead", cSettings: [.define("_GNU_SOURCE", to: "1")]),
    .target(name: "CLibPCI", linkerSettings: [.linkedLibrary("pci")]),
    .systemLibrary(
      name: "CLibNL", pkgConfig: "libnl-genl-3.0 libnl-route-3.0",
      providers: [.apt(["libnl-genl-3-dev", "libnl-route-3-dev"])]),
    .systemLibrary(
      name: "CSeccomp", pkgConfig: "libseccomp", providers: [.apt(["libseccomp-dev"])]),

    // Both sides of the trust line
    .target(name: "Platform", dependencies: ["CBulkhead"]),
    .target(name: "Protocol", dependencies: ["Platform"]),
    .target(name: "Virtqueue", dependencies: ["CBulkhead", "Platform"]),

    // The untrusted side
    .target(name: "DriverKit", dependencies: ["CBulkhead", "Platform", "Protocol", "Virtqueue"]),
    .target(
      name: "NVMe", dependencies: ["DriverKit"], path: "udrivers/nvme",
      exclude: ["main", "nvme.toml"]),
    .executableTarget(
      name: "udriver-nvme", dependencies: ["NVMe"], path: "udrivers/nvme/main",
      linkerSettings: fullyStatic),
    .target(
      name: "E1000E", dependencies: ["DriverKit"], path: "udrivers/e1000e",
      exclude: ["main", "e1000e.toml"]),
    .executableTarget(
      name: "udriver-e1000e", dependencies: ["E1000E"], path: "udrivers/e1000e/main",
      linkerSettings: fullyStatic),
    .target(
      name: "VirtioNet", dependencies: ["CBulkhead", "DriverKit", "Virtqueue"], path: "udrivers/virtio-net",
      exclude: ["main", "virtio-net.toml"]),
    .executableTarget(
      name: "udriver-virtio-net", dependencies: ["DriverKit", "VirtioNet"], path: "udrivers/virtio-net/main",
      linkerSettings: fullyStatic),
    .executableTarget(
      name: "udriver-hostile", dependencies: ["DriverKit", "NVMe", "CBulkhead"],
      path: "udrivers/hostile", exclude: ["hostile.toml"], linkerSettings: fullyStatic),

    // What a driver must not write into its queues: for the hostile driver, and for the fuzz of who reads them
    .target(
      name: "RingForgery", dependencies: ["CBulkhead", "Protocol", "Virtqueue"],
      path: "udrivers/hostile-network/forgery"),
    .executableTarget(
      name: "udriver-hostile-network", dependencies: ["CBulkhead", "DriverKit", "RingForgery", "Virtqueue"],
      path: "udrivers/hostile-network", exclude: ["hostile-network.toml", "forgery"], linkerSettings: fullyStatic),

    // The trusted side
    .target(name: "PCI", dependencies: ["CBulkhead", "CLibPCI", "Platform"]),
    .target(name: "VFIO", dependencies: ["CBulkhead", "Platform"]),
    .target(name: "Netlink", dependencies: ["CBulkhead", "CLibNL", "Platform", "Protocol"]),
    .target(name: "Jail", dependencies: ["CBulkhead", "CSeccomp", "Platform", "Protocol"]),
    .target(
      name: "Broker",
      dependencies: ["CBulkhead", "Jail", "Platform", "Protocol", "VFIO", "Virtqueue"]),
    .target(name: "TAP", dependencies: ["CBulkhead", "Platform", "Protocol", "Virtqueue"]),
    .target(name: "Emulation", dependencies: ["CBulkhead", "Platform", "Protocol", "VFIO"]),
    .target(
      name: "NBDProxy", dependencies: ["Broker", "CBulkhead", "Jail", "Platform", "Protocol", "Virtqueue"],
      path: "proxies/nbd"),
    .target(
      name: "TAPProxy", dependencies: ["Broker", "CBulkhead", "Jail", "Platform", "Protocol", "TAP", "Virtqueue"],
      path: "proxies/tap"),
    .target(
      name: "Control", dependencies: ["PCI", "Platform", "Protocol"], exclude: ["io.bulkhead.varlink"]),
    .target(
      name: "Supervisor",
      dependencies: [
        "CBulkhead", "Control", "Emulation", "Netlink", "PCI", "Platform", "Protocol", "TAP", "TOMLKit",
        .product(name: "Logging", package: "swift-log"),
      ]),

    .executableTarget(
      name: "bulkheadd",
      dependencies: [
        "Supervisor", .product(name: "ArgumentParser", package: "swift-argument-parser"),
      ], linkerSettings: boundAtStart),
    .executableTarget(
      name: "bulkheadctl",
      dependencies: [
        "Control", "PCI", "Platform", .product(name: "ArgumentParser", package: "swift-argument-parser"),
      ], linkerSettings: boundAtStart),
    .executableTarget(
      name: "bulkhead-broker", dependencies: ["Broker", "NBDProxy", "TAPProxy"], linkerSettings: fullyStatic),
    .executableTarget(
      name: "bulkhead-broker-emulated",
      dependencies: ["Broker", "Emulation", "Jail", "NBDProxy", "Platform", "TAPProxy"],
      linkerSettings: fullyStatic),
    .executableTarget(
      name: "bulkhead-jail", dependencies: ["Jail"], linkerSettings: fullyStatic),

    // Tests: one folder a module
    .testTarget(name: "PlatformTests", dependencies: ["Platform"]),
    .testTarget(name: "ProtocolTests", dependencies: ["Protocol"]),
    .testTarget(name: "VirtqueueTests", dependencies: ["Platform", "Virtqueue"]),
    .testTarget(name: "PCITests", dependencies: ["PCI"]),
    .testTarget(name: "VFIOTests", dependencies: ["VFIO"]),
    .target(
      name: "NamespaceRig", dependencies: ["CBulkhead", "Netlink", "Platform", "Protocol"], path: "Tests/NamespaceRig"),
    .testTarget(name: "NetlinkTests", dependencies: ["CBulkhead", "NamespaceRig", "Netlink", "Platform", "Protocol"]),
    .testTarget(
      name: "TAPTests",
      dependencies: ["CBulkhead", "NamespaceRig", "Netlink", "Platform", "Protocol", "TAP", "Virtqueue"]),
    .executableTarget(
      name: "vhost-probe", dependencies: ["CBulkhead", "Platform", "Protocol", "TAP", "Virtqueue"],
      path: "Tests/VhostProbe", linkerSettings: fullyStatic),
    .testTarget(name: "JailTests", dependencies: ["CBulkhead", "Jail", "Platform", "Protocol"]),
    .executableTarget(
      name: "JailProbe", dependencies: ["CBulkhead", "Jail"], path: "Tests/JailProbe", linkerSettings: fullyStatic),
    .testTarget(name: "DriverKitTests", dependencies: ["DriverKit"]),
    .target(
      name: "DriverRig", dependencies: ["CCounting", "DriverKit", "Platform", "Protocol", "Virtqueue"],
      path: "Tests/DriverRig"),
    .testTarget(name: "NVMeTests", dependencies: ["DriverRig", "NVMe"]),
    .testTarget(name: "VirtioNetTests", dependencies: ["CCounting", "DriverRig", "VirtioNet", "Virtqueue"]),
    .testTarget(name: "E1000ETests", dependencies: ["CCounting", "DriverRig", "E1000E"]),
    .testTarget(name: "BrokerTests", dependencies: ["Broker", "Emulation"]),
    .testTarget(
      name: "EmulationTests",
      dependencies: [
        "CBulkhead", "DriverKit", "DriverRig", "E1000E", "Emulation", "Platform", "Protocol", "VFIO", "Virtqueue",
      ]),
    .target(name: "CCounting", path: "Tests/CCounting"),
    .testTarget(name: "NBDProxyTests", dependencies: ["CBulkhead", "CCounting", "NBDProxy", "Platform", "Protocol"]),
    .testTarget(
      name: "TAPProxyTests",
      dependencies: [
        "CBulkhead", "CCounting", "NamespaceRig", "Netlink", "Platform", "Protocol", "TAP", "TAPProxy", "Virtqueue",
      ]),
    .testTarget(
      name: "SupervisorTests",
      dependencies: [
        "CBulkhead", "Control", "Emulation", "NamespaceRig", "Netlink", "PCI", "Platform", "Protocol", "Supervisor",
        "TAP",
      ]),

    .target(
      name: "FuzzTAP",
      dependencies: ["Broker", "CBulkhead", "Platform", "Protocol", "RingForgery", "TAPProxy", "Virtqueue"],
      path: "Tests/FuzzTAP", exclude: ["main"]),
    .executableTarget(name: "fuzz-tap", dependencies: ["FuzzTAP", "Platform"], path: "Tests/FuzzTAP/main"),
    .testTarget(
      name: "FuzzTAPTests",
      dependencies: ["CBulkhead", "FuzzTAP", "NamespaceRig", "Netlink", "Platform", "Protocol", "TAP"]),

    // The processes as they are, on the emulated device
    .target(name: "NBDClient", dependencies: ["CBulkhead", "Platform"], path: "Tests/NBDClient"),
    .target(
      name: "Campaign", dependencies: ["CBulkhead", "NBDClient", "Platform"], path: "Tests/Campaign",
      exclude: ["main"]),
    .executableTarget(
      name: "nbd-campaign", dependencies: ["CBulkhead", "Campaign", "Platform"], path: "Tests/Campaign/main",
      linkerSettings: fullyStatic),
    .testTarget(
      name: "NativeTests", dependencies: ["CBulkhead", "Campaign", "NBDClient", "NamespaceRig", "Netlink", "Platform"]),
  ]
)
