import DriverKit
import Testing

@testable import VirtioNet

/// Every offset and every bit, against virtio 1.2.
@Suite struct RegisterTests {
  /// Section 4.1.4.3, and 5.1.4.
  static let table: [(String, Int, Int)] = [
    ("device_feature_select", CommonRegister.deviceFeatureSelect, 0),
    ("device_feature", CommonRegister.deviceFeature, 4),
    ("driver_feature_select", CommonRegister.driverFeatureSelect, 8),
    ("driver_feature", CommonRegister.driverFeature, 12), ("config_msix_vector", CommonRegister.configVector, 16),
    ("num_queues", CommonRegister.queueCount, 18), ("device_status", CommonRegister.status, 20),
    ("config_generation", CommonRegister.generation, 21), ("queue_select", CommonRegister.queueSelect, 22),
    ("queue_size", CommonRegister.queueSize, 24), ("queue_msix_vector", CommonRegister.queueVector, 26),
    ("queue_enable", CommonRegister.queueEnable, 28), ("queue_notify_off", CommonRegister.queueNotifyOffset, 30),
    ("queue_desc", CommonRegister.queueDescriptors, 32), ("queue_driver", CommonRegister.queueDriver, 40),
    ("queue_device", CommonRegister.queueDevice, 48), ("mac", NetworkRegister.address, 0),
    ("status", NetworkRegister.status, 6), ("mtu", NetworkRegister.mtu, 10), ("speed", NetworkRegister.speed, 12),
    ("duplex", NetworkRegister.duplex, 16),
  ]

  @Test(arguments: table.indices) func isWhereTheSpecificationSays(index: Int) {
    #expect(Self.table[index].1 == Self.table[index].2, "\(Self.table[index].0)")
  }

  @Test func numbersFeatures() {
    let bits: [(Features, UInt64)] = [
      (.checksum, 0), (.guestChecksum, 1), (.mtu, 3), (.address, 5), (.hostTSO4, 11), (.hostTSO6, 12), (.hostECN, 13),
      (.status, 16), (.controlQueue, 17), (.controlReceive, 18), (.controlAddress, 23), (.eventIndex, 29),
      (.version1, 32), (.accessPlatform, 33), (.orderPlatform, 36), (.speed, 63),
    ]
    for (feature, bit) in bits { #expect(feature.rawValue == 1 << bit) }
  }

  @Test func numbersCommands() {
    typealias Command = ControlQueue.Command
    #expect(
      [Command.promiscuous, .allMulticast, .addressTable, .address].map { [$0.group, $0.number] } == [
        [0, 0], [0, 1], [1, 0], [1, 1],
      ])
  }
}
