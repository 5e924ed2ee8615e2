import CBulkhead
import Glibc
import Platform
import Protocol
import Testing

@testable import NBDProxy

/// libnbd's and QEMU's tools as clients, where they are installed. The server is the test itself: it works while they run.
@Suite(.serialized) struct RealClientTests {
  /// A rig that listens, in a folder of its own.
  private final class Served {
    let rig: Rig
    let folder: String
    var socket: String { folder + "/nbd.sock" }
    var uri: String { "nbd+unix:///?socket=\(socket)" }

    init(unit: BlockUnit = Rig.unit(), readOnly: Bool = false) throws {
      var template = Array("/tmp/bulkhead-nbd-XXXXXX".utf8CString)
      folder = try #require(mkdtemp(&template).map { String(cString: $0) })
      let listener = unixSocket()
      var address = sockaddr_un()
      address.sun_family = sa_family_t(AF_UNIX)
      let path = folder + "/nbd.sock"
      withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: path.utf8) }
      let bound = withUnsafePointer(to: &address) {
        $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
          bind(listener, $0, socklen_t(MemoryLayout<sockaddr_un>.size))
        }
      }
      try #require(bound == 0 && listen(listener, 16) == 0)
      rig = try Rig(unit: unit, payloadSize: 16 << 20, readOnly: readOnly, listener: listener)
      try rig.startDriver()
    }

    deinit {
      for name in ["/nbd.sock", "/out", "/a", "/b"] { unlink(folder + name) }
      rmdir(folder)
    }

    func write(_ bytes: [UInt8], to name: String) {
      let file = open(folder + name, O_WRONLY | O_CREAT | O_TRUNC, 0o600)
      bytes.withUnsafeBytes { #expect(Glibc.write(file, $0.baseAddress, $0.count) == $0.count) }
      close(file)
    }

    func read(_ name: String) -> [UInt8] {
      let file = open(folder + name, O_RDONLY)
      defer { close(file) }
      var bytes = [UInt8](repeating: 0, count: 32 << 20)
      let count = bytes.withUnsafeMutableBytes { Glibc.read(file, $0.baseAddress, $0.count) }
      return Array(bytes.prefix(max(0, count)))
    }

    /// Runs a command and serves until it has ended. Returns its status and what it said.
    func run(_ command: [String]) throws -> (status: Int32, output: String) {
      let out = folder + "/out"
      var actions = posix_spawn_file_actions_t()
      posix_spawn_file_actions_init(&actions)
      defer { posix_spawn_file_actions_destroy(&actions) }
      posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0)
      posix_spawn_file_actions_addopen(&actions, 1, out, O_WRONLY | O_CREAT | O_TRUNC, 0o600)
      posix_spawn_file_actions_adddup2(&actions, 1, 2)
      var arguments = command.map { strdup($0) }
      arguments.append(nil)
      defer { for argument in arguments { free(argument) } }
      var process: pid_t = 0
      try #require(posix_spawnp(&process, command[0], &actions, nil, arguments, environ) == 0)
      var status: Int32 = 0
      while waitpid(process, &status, WNOHANG) == 0 {
        let worked = rig.proxy.poll()
        let served = try rig.driver?.serve() ?? false
        try rig.loop.turn(waiting: worked || served ? 0 : 200_000)
      }
      try rig.settle()
      return (status, String(decoding: read("/out"), as: UTF8.self))
    }

    func expect(_ command: [String], _ location: SourceLocation = #_sourceLocation) throws -> String {
      let (status, output) = try run(command)
      #expect(status == 0, "\(command): \(output)", sourceLocation: location)
      return output
    }

    /// Runs a script of nbdsh, with the system's Python, for which libnbd is made; `uri` is known to it.
    func shell(_ lines: [String], _ location: SourceLocation = #_sourceLocation) throws {
      let script = (["uri = '\(uri)'", "import errno"] + lines).joined(separator: "\n")
      _ = try expect(["env", "PATH=/usr/bin:/bin", "nbdsh", "-c", script], location)
    }
  }

  private static func unixSocket() -> Int32 {
    socket(AF_UNIX, Int32(SOCK_STREAM.rawValue | SOCK_NONBLOCK.rawValue | SOCK_CLOEXEC.rawValue), 0)
  }

  private static func isInstalled(_ tools: String...) -> Bool {
    tools.allSatisfy { access("/usr/bin/" + $0, X_OK) == 0 }
  }

  private static func pattern(_ length: Int) -> [UInt8] {
    var random = SeededGenerator(seed: 5)
    return (0..<length).map { _ in UInt8.random(in: 0...255, using: &random) }
  }

  @Test(.enabled(if: isInstalled("nbdinfo"))) func nbdinfo() throws {
    let served = try Served()
    let output = try served.expect(["nbdinfo", "--json", served.uri])
    for expected in [
      "\"protocol\": \"newstyle-fixed\"", "\"structured\": true", "\"export-size\": 4194304", "\"is_read_only\": false",
      "\"can_df\": true", "\"can_multi_conn\": true", "\"can_cache\": true", "\"can_fast_zero\": false",
      "\"can_fua\": true", "\"base:allocation\"", "\"block_size_minimum\": 512", "\"block_size_maximum\": 8388608",
      "\"description\": \"Memory 0001\"",
    ] { #expect(output.contains(expected), "\(expected) in \(output)") }
    #expect(try served.expect(["nbdinfo", "--map", served.uri]).contains("4194304    0  data"))
    #expect(try served.expect(["nbdinfo", "--list", served.uri]).contains("export=\"ns1\""))
    #expect(try served.run(["nbdinfo", served.uri.replacing("///", with: "///other")]).status != 0)
  }

  @Test(.enabled(if: isInstalled("nbdsh"))) func structuredReadsAndBlockStatus() throws {
    try Served().shell([
      "h.add_meta_context('base:allocation'); h.connect_uri(uri)",
      "assert h.get_structured_replies_negotiated() and h.can_df() and h.can_meta_context('base:allocation')",
      "h.pwrite(b'x' * 4096, 8192, nbd.CMD_FLAG_FUA)",
      "chunks = []",
      "def chunk(data, offset, status, error): chunks.append((bytes(data), offset, status))",
      "data = h.pread_structured(16384, 0, chunk, nbd.CMD_FLAG_DF)",
      "assert data == bytes(8192) + b'x' * 4096 + bytes(4096)",
      "assert chunks == [(bytes(data), 0, nbd.READ_DATA)]",
      "extents = []",
      "def extent(context, offset, entries, error): extents.append((context, offset, entries))",
      "h.block_status(65536, 4096, extent)",
      "h.block_status(65536, 4096, extent, nbd.CMD_FLAG_REQ_ONE)",
      "assert extents == [('base:allocation', 4096, [65536, 0])] * 2, extents",
      "h.cache(4096, 0); h.zero(4096, 8192, nbd.CMD_FLAG_NO_HOLE); h.trim(4096, 0); h.flush()",
      "assert h.pread(4096, 8192) == bytes(4096)", "h.shutdown()",
    ])
  }

  @Test(.enabled(if: isInstalled("nbdsh")), arguments: [true, false]) func errors(structured: Bool) throws {
    try Served().shell([
      "h.set_request_structured_replies(\(structured ? "True" : "False"))", "h.set_strict_mode(0); h.connect_uri(uri)",
      "def fails(error, call, *arguments):", "  try:", "    call(*arguments)", "  except nbd.Error as e:",
      "    assert e.errnum == error, (e.errnum, error, e)", "    return", "  assert False",
      "size = h.get_size()",
      "fails(errno.EINVAL, h.pread, 512, 1)", "fails(errno.EINVAL, h.pread, 1024, size - 512)",
      "fails(errno.ENOSPC, h.pwrite, bytes(512), size)", "fails(errno.EINVAL, h.pwrite, bytes(100), 0)",
      "fails(errno.ENOSPC, h.zero, 512, size)", "fails(errno.EINVAL, h.trim, 512, size)",
      "fails(errno.EINVAL, h.zero, 512, 0, nbd.CMD_FLAG_FAST_ZERO)",
      "assert h.pread(512, 0) == bytes(512)", "h.shutdown()",
    ])
  }

  /// The device fails behind 4 KiB: an error with its place, which clients take for what it is, and go on.
  @Test(.enabled(if: isInstalled("nbdsh", "qemu-io"))) func errorsOfTheDevice() throws {
    let served = try Served(unit: Rig.unit(maximumTransfer: 4096))
    served.rig.driver?.answer = { $0.sector >= 8 ? (1, UInt16(ENODATA)) : (0, 0) }
    try served.shell([
      "h.connect_uri(uri); errors = []", "def chunk(data, offset, status, error): errors.append((offset, status))",
      "for call in (lambda: h.pread_structured(16384, 0, chunk), lambda: h.pwrite(bytes(16384), 0),",
      "             lambda: h.zero(4096, 8192), lambda: h.trim(4096, 8192)):", "  try:", "    call()",
      "    assert False",
      "  except nbd.Error as e:", "    assert e.errnum == errno.EIO, e",
      "assert errors == [(4096, nbd.READ_ERROR)], errors", "assert h.pread(4096, 0) == bytes(4096)", "h.shutdown()",
    ])
    let output = try served.run(["qemu-io", "-f", "raw", "-c", "write 0 16k", "-c", "read -P 0 0 4k", served.uri])
      .output
    #expect(output.contains("write failed: Input/output error") && output.contains("read 4096/4096"))
  }

  @Test(.enabled(if: isInstalled("nbdsh"))) func readOnly() throws {
    try Served(readOnly: true).shell([
      "h.set_strict_mode(0); h.connect_uri(uri)", "assert h.is_read_only() and not h.can_trim() and not h.can_zero()",
      "for call in (lambda: h.pwrite(bytes(512), 0), lambda: h.zero(512, 0), lambda: h.trim(512, 0)):", "  try:",
      "    call()", "    assert False", "  except nbd.Error as e:", "    assert e.errnum == errno.EPERM, e",
      "h.flush(); assert h.pread(512, 0) == bytes(512)", "h.shutdown()",
    ])
  }

  /// What is written on one connection is read on another, and its flush covers it.
  @Test(.enabled(if: isInstalled("nbdsh"))) func severalConnections() throws {
    let served = try Served()
    try served.shell([
      "hs = [nbd.NBD() for _ in range(8)]", "for x in hs: x.connect_uri(uri)",
      "assert all(x.can_multi_conn() for x in hs)",
      "for i, x in enumerate(hs): x.pwrite(bytes([i + 1]) * 4096, i * 4096)",
      "hs[3].flush()",
      "for i in range(8): assert hs[7 - i].pread(4096, i * 4096) == bytes([i + 1]) * 4096",
      "for x in hs: x.shutdown()",
    ])
    #expect(served.rig.disk.durable[7 * 4096] == 8)
  }

  @Test(.enabled(if: isInstalled("nbdsh"))) func largeBlocks() throws {
    let unit = Rig.unit(blocks: 1024, blockSize: 4096)
    try Served(unit: unit).shell([
      "h.connect_uri(uri)", "assert h.get_block_size(nbd.SIZE_MINIMUM) == 4096", "h.pwrite(b'y' * 4096, 4096)",
      "assert h.pread(4096, 4096) == b'y' * 4096", "h.shutdown()",
    ])
  }

  @Test(.enabled(if: isInstalled("nbdcopy"))) func nbdcopy() throws {
    let served = try Served()
    let data = Self.pattern(4 << 20)
    served.write(data, to: "/a")
    _ = try served.expect(["nbdcopy", "--flush", served.folder + "/a", served.uri])
    #expect(served.rig.disk.bytes == data)
    #expect(served.rig.disk.durable == data)
    _ = try served.expect(["nbdcopy", served.uri, served.folder + "/b"])
    #expect(served.read("/b") == data)
  }

  @Test(.enabled(if: isInstalled("qemu-img", "qemu-io"))) func qemu() throws {
    let served = try Served()
    let data = Self.pattern(2 << 20) + [UInt8](repeating: 0, count: 2 << 20)
    served.write(data, to: "/a")
    let file = served.folder + "/a"
    _ = try served.expect(["qemu-img", "convert", "-n", "-f", "raw", "-O", "raw", file, served.uri])
    #expect(served.rig.disk.bytes == data)
    _ = try served.expect(["qemu-img", "compare", "-f", "raw", "-F", "raw", file, served.uri])
    _ = try served.expect([
      "qemu-io", "-f", "raw", "-c", "write -P 0x5a 1M 64k", "-c", "write -f -P 0x5b 2M 512", "-c", "write -z 1M 4k",
      "-c", "discard 3M 64k", "-c", "flush", "-c", "read -P 0 1M 4k", "-c", "read -P 0x5a 1052672 61440", "-c",
      "read -P 0x5b 2M 512", served.uri,
    ])
    #expect(served.rig.disk.durable[2 << 20] == 0x5b)
  }
}
