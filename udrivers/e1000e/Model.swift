/// A controller that this driver runs, and in what it differs.
struct Model: Equatable {
  let device: UInt16
  let name: String
  /// The largest frame that it takes, with its check sequence, in bytes.
  let largestFrame: Int

  /// Datasheet 5.1: 10D3h is the default device id of the 82574L, 10F6h that of the 82574LA.
  static let all: [Model] = [
    Model(device: 0x10D3, name: "Intel 82574L", largestFrame: 9234),
    Model(device: 0x10F6, name: "Intel 82574LA", largestFrame: 9234),
  ]

  static func find(vendor: UInt16, device: UInt16) -> Model? {
    vendor == 0x8086 ? all.first { $0.device == device } : nil
  }
}
