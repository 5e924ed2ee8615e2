// swift-tools-version: 6.1
import PackageDescription

// Built with one command, from anywhere:
//
//   swift build -c release --static-swift-stdlib --package-path /usr/share/bulkhead/examples/edu-disk --scratch-path build
//
// Installed: build/release/udriver-edu-disk and edu-disk.toml, to /usr/lib/bulkhead/drivers/.
let kit = Context.environment["BULKHEAD_DRIVERKIT"] ?? "/usr/share/bulkhead/driverkit"

let package = Package(
  name: "edu-disk",
  dependencies: [.package(name: "driverkit", path: kit)],
  targets: [
    .executableTarget(
      name: "udriver-edu-disk", dependencies: [.product(name: "DriverKit", package: "driverkit")], path: "Sources",
      // A driver starts in an empty root directory, where there is no library to load.
      linkerSettings: [.unsafeFlags(["-static-executable"])])
  ]
)
