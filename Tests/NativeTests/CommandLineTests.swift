import Foundation
import Glibc
import Testing

/// What callers of `bulkheadctl` get: terminals, pipes, shells and scripts.
@Suite struct CommandLineTests {
  /// Runs `text` in a shell in which `ctl` is the program; the words are its `$1` and so on.
  private func shell(_ text: String, _ words: String...) throws -> Command {
    try Command.run(
      ["sh", "-c", "ctl() { command \"\(NativeBuild.path("bulkheadctl"))\" \"$@\"; }; \(text)", "sh"] + words)
  }

  /// Long enough for more than one buffer of it, or short.
  @Test(arguments: ["--version", "config --help", "--generate-completion-script bash", "config check /dev/null"])
  func whatIsNotWrittenIsAFailure(_ words: String) throws {
    #expect(try shell("ctl \(words) >/dev/null").status == 0)
    let full = try shell("ctl \(words) >/dev/full")
    #expect(full.status == 1)
    #expect(full.output.hasPrefix("bulkheadctl: standard output: "), "\(full.output)")
    #expect(try shell("ctl \(words) >&-").status == 1)
  }

  /// As with grep -q where SIGPIPE is ignored.
  @Test func aReaderThatHasEnoughIsNoFailure() throws {
    let mark = "/tmp/native-\(getpid())-\(UInt32.random(in: 0...UInt32.max))"
    defer { unlink(mark) }
    let command = try shell(
      """
      trap '' PIPE
      { until [ -e "$1" ]; do :; done; ctl --version; echo $? >&2; } | { exec <&-; touch "$1"; }
      """, mark)
    #expect(command.output == "0\n")
  }

  /// A status that says more stays as it is.
  @Test func anotherFailureStays() throws {
    #expect(try shell("ctl config check --json /nowhere.toml >/dev/full").status == 78)
    #expect(try shell("ctl --nosuch >&-").status == 64)
  }

  /// Missing arguments, and those that cannot be.
  @Test(arguments: [
    ("config", "Missing expected argument '<subcommand>'"), ("--json config", "Missing expected argument"),
    ("config --json", "Missing expected argument"), ("start", "Missing expected argument '<device>'"),
    ("list --socket ''", "--socket needs a path"), ("list --socket \(String(repeating: "x", count: 108))", "107 bytes"),
  ])
  func wrongArguments(_ words: String, _ message: String) throws {
    let command = try shell("ctl \(words)")
    #expect(command.status == 64)
    #expect(command.output.contains(message), "\(command.output)")
    #expect(command.output.contains("Usage: bulkheadctl "), "\(command.output)")
  }

  /// Of bulkheadd: what was wrong, and with which option.
  @Test(arguments: [
    ("--config ''", "--config is empty"), ("--runtime-dir ''", "--runtime-dir is empty"),
    ("--socket ''", "--socket is empty"), ("--libexec-dir ''", "--libexec-dir is empty"),
    ("--driver-dir ''", "--driver-dir is empty"), ("--driver-dir /no/where", "there is no folder '/no/where'"),
    ("--libexec-dir /dev/null", "there is no folder '/dev/null'"), ("--force", "--force belongs to --give-back"),
    ("--json", "--json belongs to --check-config"), ("--log-level loud", "'loud' is no log level"),
    ("--emulated nvme,size=1M,nonsense=1", "--emulated nvme,size=1M,nonsense=1: "),
    ("--carry-out nonsense", "no order"),
  ])
  func wrongArgumentsOfTheDaemon(_ words: String, _ message: String) throws {
    let command = try shell("\"$1\" \(words) 2>&1", NativeBuild.path("bulkheadd"))
    #expect(command.status == 64)
    #expect(command.output.contains(message), "\(command.output)")
  }

  /// A relative --runtime-dir is that of the folder in which the daemon was started.
  @Test func aRelativeRuntimeFolder() throws {
    let folder = "/tmp/native-\(getpid())-\(UInt32.random(in: 0...UInt32.max))"
    defer { try? FileManager.default.removeItem(atPath: folder) }
    try FileManager.default.createDirectory(atPath: "\(folder)/here", withIntermediateDirectories: true)
    let command = try shell(
      """
      cd "$1"
      "$2" --emulated nvme,size=1M --config /dev/null --config-dir '' --runtime-dir here/run >log 2>&1 &
      for turn in $(seq 200); do
        [ ! -S here/run/io.bulkhead ] || break
        sleep 0.05
      done
      ctl list --no-legend --socket here/run/io.bulkhead
      kill $!
      wait $!
      """, folder, NativeBuild.path("bulkheadd"))
    #expect(command.output.contains("nvme"), "\(command.output)")
    #expect(command.status == 0)
  }

  /// Options of every verb stand before it, behind it, and between the two words of a nested one.
  @Test(arguments: ["--json config check F", "config --json check F", "config check --json F", "config check F --json"])
  func optionsAnywhere(_ words: String) throws {
    let file = words.replacingOccurrences(of: "F", with: "/dev/null")
    #expect(try shell("ctl --no-legend --socket=/nowhere \(file)").output == "[\n\n]\n")
  }

  @Test func aSocketThatIsNamedIsTheOneThatAnswers() throws {
    for verb in ["check", "drivers", "config show", "config check", "list", "metrics"] {
      #expect(try shell("ctl \(verb) --socket /nowhere").status == 5, "\(verb)")
    }
  }

  @Test func noDeviceIsSaid() throws {
    let native = try Native()
    try "".write(toFile: "\(native.folder)/bulkhead.toml", atomically: true, encoding: .utf8)
    #expect(kill(native.pid, SIGHUP) == 0)
    try native.eventually("a configuration without devices") {
      try native.control("list", "--json").output == "[\n\n]\n"
    }
    let hint = "no device is configured; bulkheadctl list --all shows what there is\n"
    #expect(try native.control("status").output == hint)
    #expect(try native.control("status", "--json").output == "[\n\n]\n")
    #expect(try shell("ctl status --socket \"$1\" 2>/dev/null", native.control).output == "")
  }

  /// The reader goes away, and SIGPIPE is ignored, as units of systemd have it; what was read are whole lines.
  @Test func monitorEndsWithItsReader() throws {
    let native = try Native()
    let ended = "\(native.folder)/ended"
    let command = try shell(
      """
      trap '' PIPE
      { ctl monitor --json --socket "$1" | head -n 1 >"$2.lines"; touch "$2"; } 2>/dev/null >/dev/null &
      for turn in $(seq 100); do
        [ ! -e "$2" ] || exit 0
        ctl restart disk --socket "$1" >/dev/null || exit
        sleep 0.1
      done
      exit 9
      """, native.control, ended)
    #expect(command.status == 0, "\(command.output)")
    let line = try Data(contentsOf: URL(fileURLWithPath: ended + ".lines"))
    #expect(try JSONSerialization.jsonObject(with: line) is [String: Any])
    // With another error too, and it is said.
    let full = try shell(
      """
      ctl monitor --socket "$1" >/dev/full &
      for turn in $(seq 100); do
        ctl restart disk --socket "$1" >/dev/null
        kill -0 $! 2>/dev/null || break
      done
      wait $!
      """, native.control)
    #expect(full.status == 1)
    #expect(full.output == "bulkheadctl: standard output: No space left on device\n")
  }

  /// Without standard streams the connection to bulkheadd is not taken for one of them.
  @Test func closedStreams() throws {
    let native = try Native()
    #expect(try shell("ctl list --socket \"$1\" <&- >&-", native.control).status == 1)
    #expect(try shell("ctl top -n 1 -i 0.1 --socket \"$1\" <&- >&- 2>&-", native.control).status == 1)
    #expect(try shell("ctl list --socket \"$1\" <&-", native.control).status == 0)
  }

  /// By a Tab in the shell itself.
  @Test(.enabled(if: Standing.possible.contains(.unprivileged)), arguments: ["zsh", "fish"])
  func completion(_ name: String) throws {
    let native = try Native(as: .unprivileged)
    // Where a user's own daemon has its socket.
    try FileManager.default.createSymbolicLink(
      atPath: "\(native.folder)/bulkhead", withDestinationPath: "\(native.folder)/run")
    let script = "\(native.folder)/script"
    #expect(try shell("ctl --generate-completion-script \(name) >\"$1\"", script).status == 0)
    let typed = ["start ffff:0", "restart di", "config sh", "attach --driver no"].map { "bulkheadctl \($0)" }
    let words = [
      "env", "XDG_RUNTIME_DIR=\(native.folder)", "HOME=\(native.folder)", "PATH=\(NativeBuild.folder):/usr/bin:/bin",
      "python3", "\(#filePath.components(separatedBy: "/Tests/")[0])/Tests/Clients/complete.py", name, script,
    ]
    let completed = try Command.run((getuid() == 0 ? NativeBuild.nobody : []) + words + typed)
    #expect(
      completed.output == """
        bulkheadctl start ffff:00:00.0
        bulkheadctl restart disk
        bulkheadctl config show
        bulkheadctl attach --driver none

        """)
  }
}
