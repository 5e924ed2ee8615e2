import Platform
import Testing
import VFIO

@testable import Broker

@Suite struct ConfigFilterTests {
  private static func filter(_ config: [UInt8] = FakeConfig.device()) throws -> ConfigFilter {
    try ConfigFilter { offset, width throws(Failure) in
      (0..<width.rawValue).reduce(0) { $0 | UInt32(config[offset + $1]) << UInt32(8 * $1) }
    }
  }

  @Test(arguments: [
    (0x00, 4), (0x02, 2), (0x04, 2), (0x06, 2), (0x08, 4), (0x0E, 1), (0x2C, 4), (0x2E, 2), (0x34, 1),
    // Walking the lists.
    (0x40, 2), (0x80, 1), (0xB0, 2), (0xE0, 2), (0x100, 4), (0x150, 4), (0x160, 4),
    // PCI Express, serial number, AER.
    (0x82, 2), (0x84, 4), (0x8A, 2), (0x90, 2), (0x92, 2), (0xA8, 4), (0x154, 4), (0x158, 4), (0x104, 4), (0x128, 4),
  ])
  func permitsReading(offset: Int, width: Int) throws {
    #expect(try Self.filter().permitsRead(offset: offset, width: ConfigWidth(rawValue: width)!))
  }

  @Test(arguments: [
    // BARs, expansion ROM, interrupt line, half outside.
    (0x10, 4), (0x14, 4), (0x24, 4), (0x30, 4), (0x34, 4), (0x3C, 1),
    // Power management, MSI-X control and table, vendor-specific, ATS control, nobody's.
    (0x40, 4), (0x44, 2), (0xB0, 4), (0xB2, 2), (0xB4, 4), (0xE0, 4), (0xE4, 4), (0x164, 4), (0x200, 4), (0xFFC, 4),
    // Not aligned, beyond the end.
    (0x01, 2), (0x02, 4), (0x1000, 4), (0xFFFF, 1),
  ])
  func refusesReading(offset: Int, width: Int) throws {
    #expect(try !Self.filter().permitsRead(offset: offset, width: ConfigWidth(rawValue: width)!))
  }

  @Test func writesClearErrorsAndNothingElse() throws {
    let filter = try Self.filter()
    #expect(filter.permitsWrite(offset: 0x06, width: .word, value: 0xF900))
    #expect(filter.permitsWrite(offset: 0x8A, width: .word, value: 0x000F))
    #expect(!filter.permitsWrite(offset: 0x06, width: .word, value: 0x0400))
    #expect(!filter.permitsWrite(offset: 0x8A, width: .word, value: 0x0010))
    // The same register with its neighbour: command, device control.
    #expect(!filter.permitsWrite(offset: 0x04, width: .dword, value: 0xF900_0000))
    #expect(!filter.permitsWrite(offset: 0x88, width: .dword, value: 0x000F_0000))
    #expect(!filter.permitsWrite(offset: 0x07, width: .byte, value: 0xF9))
  }

  /// Every offset, width and a value of all bits: nothing but the two registers can be written.
  @Test func nothingElseCanBeWritten() throws {
    let filter = try Self.filter()
    for width in ConfigWidth.allCases {
      for offset in 0..<4096 where !(width == .word && (offset == 0x06 || offset == 0x8A)) {
        #expect(!filter.permitsWrite(offset: offset, width: width, value: 0))
        #expect(!filter.permitsWrite(offset: offset, width: width, value: 1))
      }
    }
  }

  /// Common structure at 0x40, notify at 0x50, the window to the BARs at 0x64, MSI-X at 0x98.
  private static func virtioDevice(vendor: UInt16 = 0x1AF4) -> [UInt8] {
    var config = [UInt8](repeating: 0, count: 256)
    func put(_ offset: Int, _ values: [UInt8]) { config.replaceSubrange(offset..<offset + values.count, with: values) }
    put(0x00, [UInt8(vendor & 0xFF), UInt8(vendor >> 8), 0x41, 0x10])
    put(0x06, [0x10])
    put(0x34, [0x40])
    put(0x40, [0x09, 0x50, 16, 1])
    put(0x50, [0x09, 0x64, 20, 2])
    put(0x64, [0x09, 0x98, 20, 5])
    put(0x98, [0x11, 0x00])
    return config
  }

  @Test func aVirtioDeviceSaysWhereItsRegistersAre() throws {
    let filter = try Self.filter(Self.virtioDevice())
    for base in [0x40, 0x50, 0x64] {
      #expect(filter.permitsRead(offset: base + 2, width: .byte) && filter.permitsRead(offset: base + 3, width: .byte))
      #expect(
        filter.permitsRead(offset: base + 4, width: .byte) && filter.permitsRead(offset: base + 12, width: .dword))
    }
    #expect(filter.permitsRead(offset: 0x60, width: .dword), "the notify structure has a multiplier")
    // The window's data would be an access to any BAR; setting the window is a write.
    for width in ConfigWidth.allCases { #expect(!filter.permitsRead(offset: 0x74, width: width)) }
    for offset in 0x40..<0x98 {
      for width in ConfigWidth.allCases { #expect(!filter.permitsWrite(offset: offset, width: width, value: 0)) }
    }
    #expect(!filter.permitsRead(offset: 0x9C, width: .dword), "MSI-X")
  }

  @Test func vendorSpecificCapabilitiesOfOthersAreClosed() throws {
    let filter = try Self.filter(Self.virtioDevice(vendor: 0x8086))
    #expect(filter.permitsRead(offset: 0x50, width: .word))
    #expect(!filter.permitsRead(offset: 0x52, width: .byte) && !filter.permitsRead(offset: 0x60, width: .dword))
  }

  @Test func listsThatBiteTheirTailEnd() throws {
    var config = FakeConfig.device()
    config[0x81] = 0x40
    config[0x153] = 0x10
    let filter = try Self.filter(config)
    #expect(filter.permitsRead(offset: 0x80, width: .word))
    #expect(!filter.permitsRead(offset: 0xE0, width: .word), "no longer in the list")
  }

  /// The PCI Express structure has 60 bytes in version 2 and less in version 1; what follows may begin earlier.
  @Test func aCapabilityEndsWhereTheNextBegins() throws {
    let filter = try Self.filter()
    #expect(filter.permitsRead(offset: 0xAC, width: .dword))
    #expect(!filter.permitsRead(offset: 0xB4, width: .dword))
    var config = FakeConfig.device()
    config[0x81] = 0
    #expect(try Self.filter(config).permitsRead(offset: 0xB8, width: .dword))
  }

  @Test func aDeviceWithoutCapabilities() throws {
    let filter = try Self.filter([UInt8](repeating: 0, count: 256))
    #expect(filter.permitsRead(offset: 0, width: .dword))
    #expect(!filter.permitsRead(offset: 0x40, width: .word))
    #expect(!filter.permitsRead(offset: 0x100, width: .dword))
  }

  @Test func aDeviceThatIsGone() throws {
    let filter = try Self.filter([UInt8](repeating: 0xFF, count: 4096))
    #expect(!filter.permitsRead(offset: 0x100, width: .dword))
  }

  @Test func everyRuleHasAReason() {
    #expect(ConfigPolicy.rules.allSatisfy { !$0.reason.isEmpty && !$0.offsets.isEmpty })
    #expect(ConfigPolicy.markdown.split(separator: "\n").count == ConfigPolicy.rules.count + 2)
  }
}
