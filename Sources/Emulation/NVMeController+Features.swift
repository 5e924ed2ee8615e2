import CBulkhead

/// Feature identifiers (NVMe 1.4 figure 272).
enum FeatureIdentifier {
  static let temperatureThreshold = 0x04
  static let writeCache = 0x06
  static let queueCount = 0x07
  static let interruptVector = 0x09
  static let eventConfiguration = 0x0B
}

/// Values of the features that can be set; they are as at power-on after every reset.
struct Features {
  /// By identifier. 0x01 arbitration ... 0x0B asynchronous events.
  private var values: (UInt32, UInt32, UInt32, UInt32, UInt32, UInt32, UInt32, UInt32, UInt32, UInt32, UInt32, UInt32) =
    (0, 0, 0, 0, 353, 0, 1, 0, 0, 0, 0, 0)
  var writeCache = true

  static func exists(_ identifier: Int) -> Bool { (1...0x0B).contains(identifier) && identifier != 0x03 }

  subscript(_ identifier: Int) -> UInt32 {
    get { withUnsafeBytes(of: values) { $0.load(fromByteOffset: 4 * identifier, as: UInt32.self) } }
    set {
      withUnsafeMutableBytes(of: &values) { $0.storeBytes(of: newValue, toByteOffset: 4 * identifier, as: UInt32.self) }
    }
  }
}

/// Set Features and Get Features (NVMe 1.4 sections 5.21 and 5.13).
extension NVMeController {
  func setFeatures(_ command: NVMeCommand) -> CommandResult {
    let identifier = Int(command.dword10 & 0xFF)
    guard Features.exists(identifier) else { return .failed(.invalidField) }
    guard command.dword10 >> 31 == 0 else { return .failed(.notSaveable) }
    switch identifier {
    case FeatureIdentifier.queueCount:
      guard command.dword11 & 0xFFFF != 0xFFFF, command.dword11 >> 16 != 0xFFFF else { return .failed(.invalidField) }
      // Section 5.21.1.7: not once there are I/O queues.
      for queue in 1...queueCount where submissions[queue].exists || completions[queue].exists {
        return .failed(.sequenceError)
      }
      return CommandResult(status: .success, value: grantedQueues)
    case FeatureIdentifier.writeCache:
      guard options.cache else { return .failed(.invalidField) }
      let enabled = command.dword11 & 1 != 0
      if features.writeCache, !enabled {
        for index in 0..<namespaceCount { guard namespaces[index].flush() else { return .failed(.writeFault) } }
      }
      features.writeCache = enabled
    case FeatureIdentifier.interruptVector:
      guard Int(command.dword11 & 0xFFFF) < vectorCount else { return .failed(.invalidField) }
    default:
      features[identifier] = command.dword11
    }
    return .success
  }

  func getFeatures(_ command: NVMeCommand) -> CommandResult {
    let identifier = Int(command.dword10 & 0xFF)
    guard Features.exists(identifier) else { return .failed(.invalidField) }
    // SEL: current or default; nothing is saved.
    guard command.dword10 >> 8 & 7 <= 1 else { return .failed(.invalidField) }
    let isDefault = command.dword10 >> 8 & 7 == 1
    let current = isDefault ? Features() : features
    switch identifier {
    case FeatureIdentifier.queueCount: return CommandResult(status: .success, value: grantedQueues)
    case FeatureIdentifier.writeCache:
      guard options.cache else { return .failed(.invalidField) }
      return CommandResult(status: .success, value: current.writeCache ? 1 : 0)
    case FeatureIdentifier.interruptVector:
      guard Int(command.dword11 & 0xFFFF) < vectorCount else { return .failed(.invalidField) }
      return CommandResult(status: .success, value: command.dword11 & 0xFFFF)
    default: return CommandResult(status: .success, value: current[identifier])
    }
  }

  /// As many as there are, whatever was asked for; both counts 0's based.
  private var grantedQueues: UInt32 { UInt32(queueCount - 1) << 16 | UInt32(queueCount - 1) }
}
