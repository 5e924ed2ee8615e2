import Glibc
import Platform
import Testing

@testable import VFIO

/// A memfd is what a device file is here: pread and pwrite at an offset.
@Suite final class ConfigSpaceTests {
  private let memory: SharedMemory
  private let config: ConfigSpace

  init() throws {
    memory = try SharedMemory(name: "config", size: 8192)
    config = ConfigSpace(file: memory.file.number, fileOffset: 4096, size: 256)
    for (offset, byte) in [UInt8(0x36), 0x1b, 0x10, 0x00, 0x07, 0x04].enumerated() {
      memory.mapping.base.storeBytes(of: byte, toByteOffset: 4096 + offset, as: UInt8.self)
    }
  }

  @Test func readsEachWidthLittleEndian() throws {
    #expect(try config.read(offset: 0, width: .byte) == 0x36)
    #expect(try config.read(offset: 1, width: .byte) == 0x1b)
    #expect(try config.read(offset: 2, width: .word) == 0x0010)
    #expect(try config.read(offset: 0, width: .dword) == 0x0010_1b36)
  }

  @Test func writesTouchNothingElse() throws {
    try config.write(offset: 2, width: .word, value: 0xbeef)
    #expect(try config.read(offset: 0, width: .dword) == 0xbeef_1b36)
    #expect(try config.read(offset: 4, width: .word) == 0x0407)
    #expect(memory.mapping.base.load(fromByteOffset: 2, as: UInt16.self) == 0)
  }

  @Test(
    "accesses that straddle registers or leave the space are refused",
    arguments: [
      (-1, ConfigWidth.byte), (-4, .dword), (1, .word), (2, .dword), (255, .word), (256, .byte), (254, .dword),
      (Int.max - 3, .dword),
    ])
  func outOfRules(offset: Int, width: ConfigWidth) {
    #expect(throws: Failure.self) { try config.read(offset: offset, width: width) }
    #expect(throws: Failure.self) { try config.write(offset: offset, width: width, value: 0) }
  }

  @Test func theLastRegisterOfEachWidthIsInside() throws {
    for width in ConfigWidth.allCases {
      try config.write(offset: 256 - width.rawValue, width: width, value: 0x5a)
      #expect(try config.read(offset: 256 - width.rawValue, width: width) == 0x5a)
    }
  }

  @Test func valuesWiderThanTheRegisterAreRefused() {
    #expect(throws: Failure.self) { try config.write(offset: 0, width: .byte, value: 0x100) }
    #expect(throws: Failure.self) { try config.write(offset: 0, width: .word, value: 0x1_0000) }
  }

  @Test func commandBitsChangeAlone() throws {
    try config.setCommand(ConfigSpace.Command.busMaster, false)
    #expect(try config.read(offset: 4, width: .word) == 0x0403)
    try config.setCommand(ConfigSpace.Command.memoryEnable, false)
    #expect(try config.read(offset: 4, width: .word) == 0x0401)
    try config.setCommand(ConfigSpace.Command.busMaster, true)
    #expect(try config.read(offset: 4, width: .word) == 0x0405)
  }

  @Test func aBitThatDoesNotReadBackIsAFailure() throws {
    let null = open("/dev/zero", O_RDWR)
    defer { close(null) }
    let gone = ConfigSpace(file: null, fileOffset: 0, size: 256)
    #expect(throws: Failure.self) { try gone.setCommand(ConfigSpace.Command.busMaster, true) }
  }
}
