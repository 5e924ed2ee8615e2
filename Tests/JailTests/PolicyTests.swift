import CBulkhead
import Glibc
import Platform
import Protocol
import Testing

@testable import Jail

@Suite("Policies as data")
struct PolicyTests {
  static let driver = SeccompPolicy.driver(mapping: [
    BarRange(bar: 0, offset: 0, length: 4096, fileOffset: 0)
  ])

  @Test("every rule has a reason", arguments: driver.rules.map(\.reason))
  func reason(_ reason: String) {
    #expect(reason.count > 10)
  }

  @Test(
    "a range of files is covered exactly by aligned blocks",
    arguments: [16..<64, 64..<128, 3..<21, 7..<8] as [Range<Int32>])
  func blocks(_ range: Range<Int32>) {
    let conditions = ArgumentCondition.files(range, "x")
    for number in UInt64(0)..<300 {
      let matching = conditions.filter {
        guard case .masked(let mask, let value) = $0.comparison else { return false }
        return number & mask == value
      }
      #expect(matching.count == (range.contains(Int32(number)) ? 1 : 0), "file \(number)")
      // A register with garbage above the file number matches nothing.
      let garbage = conditions.contains {
        guard case .masked(let mask, let value) = $0.comparison else { return true }
        return (1 << 32 | number) & mask == value
      }
      #expect(!garbage)
    }
  }

  @Test("the page has a row for each rule")
  func page() {
    let rows = Self.driver.markdown.split(separator: "\n").filter { $0.hasPrefix("| `") }
    #expect(rows.count == Self.driver.rules.count)
    #expect(Self.driver.markdown.contains("| `write` | file 2 (log) | "))
    #expect(Self.driver.markdown.contains("| `munmap` | always | "))
  }

  @Test("only who was granted a bell may ring it")
  func bell() {
    func bells(_ policy: SeccompPolicy) -> [String] {
      policy.rules.filter { $0.conditions.contains { $0.text.contains("file 8 ") } }.map(\.call)
    }
    #expect(bells(Self.driver) == [])
    #expect(bells(.driver(mapping: [], hasBell: true)) == ["write"])
  }

  @Test("no file but those of a manifest occurs in the policy")
  func files() {
    let calls = Set(Self.driver.rules.map(\.call))
    let forbidden: Set<String> = [
      "open", "openat", "ioctl", "sendmsg", "recvmsg", "dup", "dup2", "dup3", "fcntl", "socket", "clone", "clone3",
      "fork",
      "vfork", "execve", "mremap", "close", "pread64", "pwrite64",
    ]
    #expect(calls.isDisjoint(with: forbidden))
  }
}

@Suite("Grants")
struct GrantTests {
  static func failure(_ numbers: [UInt8], files: Int? = nil, bars: [BarRange] = []) -> Failure? {
    do throws(Failure) {
      _ = try OpenFiles(
        LaunchGrant(fileNumbers: numbers, bars: bars), files: [Int32](repeating: 9, count: files ?? numbers.count))
      return nil
    } catch { return error }
  }

  @Test("the smallest and the largest grant are accepted")
  func accepted() {
    #expect(Self.failure([4, 5, 7]) == nil)
    #expect(Self.failure([7, 5, 4, 6, 8, 16, 63, 64, 95, 96, 127]) == nil)
  }

  @Test("a required file is missing", arguments: [[5, 7], [4, 7], [4, 5]] as [[UInt8]])
  func missing(_ numbers: [UInt8]) {
    #expect(Self.failure(numbers)?.code == "jail-grant")
  }

  @Test("a number that no driver has", arguments: [0, 1, 2, 3, 9, 15, 128, 200, 255] as [UInt8])
  func unknown(_ number: UInt8) {
    #expect(Self.failure([4, 5, 7, number])?.step == "accept file \(number): no driver has it")
  }

  @Test("numbers and files differ in count")
  func count() {
    #expect(Self.failure([4, 5, 7], files: 2)?.step == "match 3 file numbers with 2 files")
  }

  @Test(
    "a range that is not made of whole pages",
    arguments: [(0x1000, 0x800), (0x1800, 0x1000), (0x1000, 0x1001), (1, 1)] as [(UInt64, UInt64)])
  func partOfPage(_ fileOffset: UInt64, _ length: UInt64) {
    let range = BarRange(bar: 0, offset: 0, length: length, fileOffset: fileOffset)
    #expect(Self.failure([4, 5, 7], bars: [range])?.code == "jail-grant")
  }
}

@Suite("Pieces")
struct PieceTests {
  @Test(
    "Landlock rights grow with the interface",
    arguments: [
      (1, 0x1fff, 0, 0), (2, 0x3fff, 0, 0), (3, 0x7fff, 0, 0), (4, 0x7fff, 3, 0), (5, 0xffff, 3, 0), (6, 0xffff, 3, 3),
      (99, 0xffff, 3, 3),
    ] as [(Int32, UInt64, UInt64, UInt64)])
  func landlock(_ abi: Int32, _ files: UInt64, _ network: UInt64, _ scopes: UInt64) {
    let rights = Landlock.Rights(abi: abi)
    #expect(rights.files == files)
    #expect(rights.network == network)
    #expect(rights.scopes == scopes)
  }

  @Test("a user namespace that is not to be had names the sysctl")
  func hints() {
    #expect(Namespaces.hint(for: ENOSPC).contains("user.max_user_namespaces"))
    #expect(Namespaces.hint(for: EPERM).contains("kernel.unprivileged_userns_clone"))
  }

  @Test("every step has an exit status of its own, and the code leads to it")
  func steps() {
    #expect(Set(ConfinementStep.allCases.map(\.rawValue)) == Set(70...79))
    for step in ConfinementStep.allCases {
      #expect(ConfinementStep.exitStatus(for: Failure(step.code, "x")) == step.rawValue)
    }
  }

  @Test("a failure is one line")
  func line() {
    let failure = Failure("jail-root", "do it", errno: EPERM, hint: "try that")
    #expect(failure.line == "jail-root: do it: EPERM Operation not permitted (try that)")
  }
}
