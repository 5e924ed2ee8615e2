import Platform
import Testing
import VFIO

@testable import Emulation

@Suite struct TransferTests {
  /// Every shape of PRP: one page, offset start, two pages, a list, a list with an offset, a list in two pages.
  @Test(arguments: [512, 4096], [0, 4, 512, 2048, 4092])
  func roundTripsEveryShape(_ blockSize: Int, _ offset: Int) throws {
    let host = try Host("nvme,size=8M,lba=\(blockSize)").start()
    var generator = SeededGenerator(seed: UInt64(offset))
    for bytes in [4096, 8192, 12288, 65536, 1 << 20] {
      for list in bytes <= 8192 ? [8 * 4096] : [8 * 4096, 8 * 4096 + 8, 9 * 4096 - 8, 9 * 4096 - 16] {
        let count = bytes / blockSize
        let source = Host.data + offset
        let target = Host.data + (2 << 20) + offset
        host.scramble(source, bytes, &generator)
        host.fill(target - 4, bytes + 8, 0xEE)
        #expect(
          try host.transfer(1, block: 3, count: count, blockSize: blockSize, buffer: source, list: list)?.status == 0)
        #expect(
          try host.transfer(2, block: 3, count: count, blockSize: blockSize, buffer: target, list: list)?.status == 0)
        #expect(host.holds(target, UnsafeRawBufferPointer(start: host.memory(source), count: bytes)))
        #expect(host.bytes(target - 4, 4) == [0xEE, 0xEE, 0xEE, 0xEE])
        #expect(host.bytes(target + bytes, 4) == [0xEE, 0xEE, 0xEE, 0xEE])
      }
    }
    #expect(host.backing.faultCount == 0)
  }

  /// Random commands against a model of the disk.
  @Test(arguments: [(512, "memory"), (4096, "memory"), (512, "file"), (4096, "file")])
  func agreesWithAModel(_ blockSize: Int, _ place: String) throws {
    let image = TemporaryFile()
    let journal = blockSize == 512 ? "on" : "off"
    let file = place == "file" ? "file=\(image.path)," : ""
    let host = try Host("nvme,\(file)size=1M,lba=\(blockSize),sync=off,journal=\(journal)").start()
    var model = [UInt8](repeating: 0, count: 1 << 20)
    var generator = SeededGenerator(seed: UInt64(blockSize) + (place == "file" ? 1 : 0))
    let blocks = (1 << 20) / blockSize
    for round in 0..<200 {
      let count = Int.random(in: 1...(131072 / blockSize), using: &generator)
      let block = Int.random(in: 0...(blocks - count), using: &generator)
      let buffer = Host.data + 4 * Int.random(in: 0..<1024, using: &generator)
      let range = block * blockSize..<(block + count) * blockSize
      switch Int.random(in: 0..<8, using: &generator) {
      case 0...2:
        host.scramble(buffer, range.count, &generator)
        let flags: UInt32 = Bool.random(using: &generator) ? 1 << 30 : 0
        let done = try host.transfer(
          1, block: UInt64(block), count: count, blockSize: blockSize, buffer: buffer, flags: flags)
        #expect(done?.status == 0)
        model.replaceSubrange(range, with: host.bytes(buffer, range.count))
      case 3:
        let flags: UInt32 = Bool.random(using: &generator) ? 1 << 25 : 0
        #expect(try host.io(8, block: UInt64(block), count: count, flags: flags)?.status == 0)
        model.replaceSubrange(range, with: repeatElement(0, count: range.count))
      case 4:
        host.memory(buffer).storeBytes(of: 0, as: UInt32.self)
        host.memory(buffer).storeBytes(of: UInt32(count), toByteOffset: 4, as: UInt32.self)
        host.memory(buffer).storeBytes(of: UInt32(block), toByteOffset: 8, as: UInt32.self)
        host.memory(buffer).storeBytes(of: 0, toByteOffset: 12, as: UInt32.self)
        let next = Host.iova((buffer + 4096) & ~4095)
        host.place(1, 9, namespace: 1, prp1: Host.iova(buffer), prp2: next, d10: 0, d11: 4)
        try host.ring(1)
        #expect(try host.take(1)?.status == 0)
        model.replaceSubrange(range, with: repeatElement(0, count: range.count))
      case 5: #expect(try host.io(0)?.status == 0)
      default:
        let done = try host.transfer(2, block: UInt64(block), count: count, blockSize: blockSize, buffer: buffer)
        #expect(done?.status == 0)
        #expect(model[range].withUnsafeBytes { host.holds(buffer, $0) }, "round \(round)")
      }
    }
  }

  @Test func refusesBadCommands() throws {
    let host = try Host("nvme,size=1M").start()
    let buffer = Host.iova(Host.data)
    #expect(try host.io(2, block: 2048, prp1: buffer)?.status == 0x80, "the block behind the last")
    #expect(try host.io(2, block: 2047, count: 2, prp1: buffer, prp2: 0)?.status == 0x80)
    #expect(try host.io(2, block: .max, count: 2, prp1: buffer)?.status == 0x80, "wraps around")
    #expect(try host.io(2, block: 0, count: 2049, prp1: buffer)?.status == 0x02, "MDTS")
    #expect(try host.io(2, namespace: 2, prp1: buffer)?.status == 0x0B)
    #expect(try host.io(2, namespace: 0, prp1: buffer)?.status == 0x0B)
    #expect(try host.io(0x55, prp1: buffer)?.status == 0x01)
    #expect(try host.io(2, prp1: buffer + 1)?.status == 0x13, "not a dword")
    #expect(try host.io(2, count: 16, prp1: buffer, prp2: buffer + 4)?.status == 0x13)
    #expect(try host.io(2, count: 32, prp1: buffer, prp2: buffer + 4)?.status == 0x13, "list pointer")
    host.memory(8 * 4096).storeBytes(of: buffer + 512, as: UInt64.self)
    #expect(try host.io(2, count: 32, prp1: buffer, prp2: Host.iova(8 * 4096))?.status == 0x13, "list entry")
    #expect(host.backing.faultCount == 0)
  }

  @Test func readOnlyNamespacesStayAsTheyAre() throws {
    let image = TemporaryFile()
    try Host("nvme,file=\(image.path),size=1M").backing.close()
    let host = try Host("nvme,file=\(image.path),readonly=on").start()
    #expect(try host.io(1, prp1: Host.iova(Host.data))?.status == 0x20)
    #expect(try host.io(8)?.status == 0x20)
    #expect(try host.io(2, prp1: Host.iova(Host.data))?.status == 0)
  }

  @Test func namespacesShareAFileWithoutOverlap() throws {
    let image = TemporaryFile()
    do {
      let host = try Host("nvme,file=\(image.path),size=64K,namespaces=2").start()
      host.fill(Host.data, 512, 1)
      #expect(try host.io(1, namespace: 1, block: 127, prp1: Host.iova(Host.data))?.status == 0)
      host.fill(Host.data, 512, 2)
      #expect(try host.io(1, namespace: 2, block: 0, prp1: Host.iova(Host.data))?.status == 0)
      #expect(try host.io(2, namespace: 1, block: 127, prp1: Host.iova(Host.data))?.status == 0)
      #expect(host.bytes(Host.data, 512) == [UInt8](repeating: 1, count: 512))
    }
    let again = try Host("nvme,file=\(image.path),namespaces=2").start()
    #expect(try again.io(2, namespace: 2, prp1: Host.iova(Host.data))?.status == 0)
    #expect(again.bytes(Host.data, 512) == [UInt8](repeating: 2, count: 512), "what was written is in the file")
  }
}
