import CBulkhead
import Glibc
import Netlink
import Platform

/// A network namespace of its own for a test, which goes when the test ends.
///
/// The thread moves into it, and with it all that the test makes on that thread, so `body` must not suspend.
public enum NamespaceRig {
  /// Whether this process may make namespaces and interfaces.
  public static let isPossible = geteuid() == 0 && (try? NetworkNamespace.make()) != nil

  public static func run(_ body: () throws -> Void) throws { try run(in: NetworkNamespace.make(), body) }

  public static func run(in namespace: NetworkNamespace, _ body: () throws -> Void) throws {
    var outcome: Result<Void, any Error> = .success(())
    try namespace.perform { () throws(Failure) in outcome = Result { try body() } }
    try outcome.get()
  }

  /// Runs an administrator's tool in the thread's namespace and returns what it says.
  @discardableResult
  public static func run(_ words: String...) throws -> String { try run(words) }

  @discardableResult
  public static func run(_ words: [String]) throws -> String {
    var pipe: (Int32, Int32) = (-1, -1)
    let made = withUnsafeMutablePointer(to: &pipe) {
      $0.withMemoryRebound(to: Int32.self, capacity: 2) { bh_stream_pair($0) }
    }
    try checked(made, "rig", "make a pipe")
    let output = Descriptor(owning: pipe.0)
    var actions = posix_spawn_file_actions_t()
    posix_spawn_file_actions_init(&actions)
    defer { posix_spawn_file_actions_destroy(&actions) }
    posix_spawn_file_actions_adddup2(&actions, pipe.1, 1)
    posix_spawn_file_actions_adddup2(&actions, pipe.1, 2)
    var arguments: [UnsafeMutablePointer<CChar>?] = words.map { strdup($0) } + [nil]
    defer { for argument in arguments { free(argument) } }
    var pid: pid_t = 0
    let failed = posix_spawnp(&pid, words[0], &actions, nil, &arguments, environ)
    // The end of what it says is seen only when nobody else holds its end.
    Descriptor.close(pipe.1)
    guard failed == 0 else { throw Failure("rig", "run \(words[0])", errno: failed) }
    var text: [UInt8] = []
    var part = [UInt8](repeating: 0, count: 4096)
    try checked(bh_set_nonblocking(output.number, 0), "rig", "wait for a tool")
    while true {
      let got = read(output.number, &part, part.count)
      if got <= 0 { break }
      text += part[..<got]
    }
    var status: Int32 = 0
    while waitpid(pid, &status, 0) < 0, errno == EINTR {}
    let said = String(decoding: text, as: UTF8.self)
    guard status == 0 else { throw Failure("rig", "run \(words.joined(separator: " ")): \(said)") }
    return said
  }
}
