import CBulkhead
import Glibc
import Platform
import Testing

@testable import Emulation

/// What holds the blocks is opened by one process and used by another, and is still there when that one is gone.
@Suite struct MediumTests {
  /// Options, what holds their blocks, and the path if that is a file.
  struct Opened: ~Copyable {
    let image = TemporaryFile()
    let options: EmulationOptions
    let medium: Descriptor

    init(_ place: String) throws {
      let file = place == "file" ? "file=\(image.path)," : ""
      let options = try EmulationOptions(parsing: "nvme,\(file)size=1M,namespaces=2,sync=off")
      let medium = try options.openMedium()
      self.options = options
      self.medium = medium
    }
  }

  private func copy(_ medium: borrowing Descriptor) throws -> Int32 {
    try checked(bh_dup_above(medium.number, 3), "dup", "copy a medium")
  }

  @Test(arguments: ["memory", "file"])
  func outlivesTheDevice(_ place: String) throws {
    let opened = try Opened(place)
    // What a broker gets: the text, and the file.
    let told = try EmulationOptions(parsing: opened.options.textWithoutFile)
    for namespace in [UInt32(1), 2] {
      let host = try Host(told, medium: copy(opened.medium)).start()
      host.fill(Host.data, 512, UInt8(namespace))
      #expect(
        try host.transfer(1, block: 7, count: 1, blockSize: 512, buffer: Host.data, namespace: namespace)?.status == 0)
    }
    let host = try Host(told, medium: copy(opened.medium)).start()
    for namespace in [UInt32(1), 2] {
      #expect(
        try host.transfer(2, block: 7, count: 1, blockSize: 512, buffer: Host.data, namespace: namespace)?.status == 0)
      #expect(host.bytes(Host.data, 512) == [UInt8](repeating: UInt8(namespace), count: 512))
    }
  }

  @Test func memoryCannotShrinkUnderItsMapping() throws {
    let memory = try Opened("memory")
    #expect(bh_image_size(memory.medium.number) == 2 << 20)
    #expect(bh_image_is_sealed(memory.medium.number) == 1)
    #expect(ftruncate(memory.medium.number, 0) == -1)
    let file = try Opened("file")
    #expect(bh_image_is_sealed(file.medium.number) == 0, "a file is read and written, never mapped")
  }

  @Test func aFileIsOneDevices() throws {
    let image = TemporaryFile()
    let options = try EmulationOptions(parsing: "nvme,file=\(image.path),size=1M")
    do {
      let medium = try options.openMedium()
      let failure = #expect(throws: Failure.self) { _ = try options.openMedium() }
      #expect(failure?.code == "emulated-image")
      #expect(failure?.hint == "somebody else uses it")
      #expect(medium.number >= 0)
    }
    _ = try options.openMedium()
  }

  @Test func readersShareAFile() throws {
    let image = TemporaryFile()
    truncate(image.path, 1 << 20)
    let options = try EmulationOptions(parsing: "nvme,file=\(image.path),readonly=on")
    let first = try options.openMedium()
    let second = try options.openMedium()
    #expect(first.number != second.number)
    var writer = options
    writer.readOnly = false
    #expect(throws: Failure.self) { _ = try writer.openMedium() }
  }

  @Test func tooSmallForWhatIsWanted() throws {
    let opened = try Opened("memory")
    var larger = opened.options
    larger.size = 2 << 20
    let medium = try copy(opened.medium)
    let failure = #expect(throws: Failure.self) { _ = try Host(larger, medium: medium) }
    #expect(failure?.code == "emulated-image")
  }

  /// Holes of a mapped disk give their memory back.
  @Test func deallocatedBlocksTakeNoRoom() throws {
    let options = try EmulationOptions(parsing: "nvme,size=1M")
    let medium = try options.openMedium()
    let host = try Host(options, medium: copy(medium)).start()
    host.fill(Host.data, 65536, 9)
    #expect(try host.transfer(1, block: 0, count: 128, blockSize: 512, buffer: Host.data)?.status == 0)
    var status = stat()
    fstat(medium.number, &status)
    #expect(status.st_blocks == 128)
    // One range: 128 blocks from block 0 (NVMe 1.4 figure 371).
    host.fill(Host.data, 16, 0)
    host.memory(Host.data).storeBytes(of: 128, toByteOffset: 4, as: UInt32.self)
    host.place(1, 9, namespace: 1, prp1: Host.iova(Host.data), d11: 4)
    try host.ring(1)
    #expect(try host.take(1)?.status == 0)
    fstat(medium.number, &status)
    #expect(status.st_blocks == 0)
    #expect(try host.transfer(2, block: 0, count: 128, blockSize: 512, buffer: Host.data)?.status == 0)
    #expect(host.bytes(Host.data, 65536).allSatisfy { $0 == 0 })
  }
}
