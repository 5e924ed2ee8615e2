// swift-tools-version: 6.1
import PackageDescription

/// What a driver for Bulkhead is written against; installed by the package bulkhead-dev.
let package = Package(
  name: "driverkit",
  products: [.library(name: "DriverKit", type: .static, targets: ["DriverKit"])],
  targets: [
    .target(name: "CBulkhead", cSettings: [.define("_GNU_SOURCE", to: "1")]),
    .target(name: "Platform", dependencies: ["CBulkhead"]),
    .target(name: "Protocol", dependencies: ["Platform"]),
    .target(name: "Virtqueue", dependencies: ["CBulkhead", "Platform"]),
    .target(name: "DriverKit", dependencies: ["CBulkhead", "Platform", "Protocol", "Virtqueue"]),
  ]
)
