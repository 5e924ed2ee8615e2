import Foundation
import Glibc
import NBDClient
import Testing

/// The disk as a client sees it, with all processes real.
@Suite(.serialized) struct DiskTests {
  @Test(arguments: Standing.possible) func allCommands(_ standing: Standing) throws {
    let native = try Native("size=8M", as: standing)
    let disk = try Disk(native)
    #expect(disk.export.size == 8 << 20)
    #expect(disk.export.minimumBlock == 512)
    #expect(disk.export.hasFlush && disk.export.hasFUA && disk.export.hasTrim && disk.export.hasWriteZeroes)
    #expect(disk.export.hasMultiConnection && !disk.export.isReadOnly)
    let bytes = (0..<262_144).map { UInt8(truncatingIfNeeded: $0 &* 31 >> 3) }
    #expect(disk.write(bytes, at: 4096) == 0)
    #expect(disk.read(bytes.count, at: 4096).bytes == bytes)
    #expect(disk.flush() == 0)
    #expect(disk.write(Array(bytes.prefix(512)), at: (8 << 20) - 512, flags: NBDRequest.forceUnitAccess) == 0)
    // Another connection sees the same.
    let other = try Disk(native)
    #expect(other.read(512, at: (8 << 20) - 512).bytes == Array(bytes.prefix(512)))
    for flags in [0, NBDRequest.noHole, NBDRequest.forceUnitAccess] {
      #expect(disk.write(bytes, at: 0) == 0)
      #expect(disk.writeZeroes(65536, at: 8192, flags: flags) == 0)
      #expect(other.read(65536, at: 8192).bytes.allSatisfy { $0 == 0 })
      #expect(other.read(8192, at: 0).bytes == Array(bytes.prefix(8192)))
    }
    #expect(disk.trim(4096, at: 0) == 0)
    #expect([0, bytes[0]].contains(disk.read(1, at: 0).bytes[0]) || disk.read(512, at: 0).error == 0)
    #expect(native.stop() == 0, "\(native.log)")
  }

  @Test func mistakesAreAnsweredByTheBook() throws {
    let native = try Native()
    let disk = try Disk(native)
    let size = disk.export.size
    #expect(disk.write([UInt8](repeating: 1, count: 512), at: size) == 28)
    #expect(disk.read(512, at: size).error == 22)
    #expect(disk.read(512, at: 100).error == 22)
    #expect(disk.trim(512, at: size) == 22)
    #expect(disk.writeZeroes(1024, at: size - 512) == 28)
    #expect(disk.read(512, at: 0).error == 0)
  }

  @Test func readOnly() throws {
    let native = try Native("size=4M,readonly=on")
    let disk = try Disk(native)
    #expect(disk.export.isReadOnly)
    #expect(disk.read(512, at: 0).error == 0)
    #expect(disk.write([UInt8](repeating: 1, count: 512), at: 0) == 1)
  }

  /// In the file is what a client flushed, and a later daemon serves it.
  @Test func theFileIsTheDisk() throws {
    let image = "/tmp/native-\(getpid())-\(UInt32.random(in: 0...UInt32.max)).img"
    defer { unlink(image) }
    let bytes = [UInt8](repeating: 0xA5, count: 4096)
    do {
      let native = try Native("file=\(image),size=4M,lba=4096")
      let disk = try Disk(native)
      #expect(disk.export.minimumBlock == 4096)
      #expect(disk.write(bytes, at: 8192) == 0)
      #expect(disk.flush() == 0)
      let file = try #require(FileManager.default.contents(atPath: image))
      #expect(file.count == 4 << 20)
      #expect(Array(file[8192..<12288]) == bytes)
      #expect(native.stop() == 0)
    }
    let native = try Native("file=\(image),lba=4096")
    #expect(try Disk(native).read(4096, at: 8192).bytes == bytes)
  }
}
