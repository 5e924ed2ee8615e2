import NamespaceRig
import Platform
import Testing

@testable import TAP

@Suite struct InterfaceNameTests {
  static let good = ["bh0", "nic-left", "a", "123456789012345", "x.100", "..x", "a@b", "z_~!"]

  @Test(arguments: good) func taken(text: String) throws { #expect(try InterfaceName(text).description == text) }

  @Test(
    "anything else is refused",
    arguments: [
      "", ".", "..", "1234567890123456", "a/b", "a:b", "a b", "a\tb", "a\nb", "bh%d", "ü", "a\u{0}", "a\u{7f}", "all",
      "default",
    ])
  func refused(text: String) throws {
    let failure = try #require(throws: Failure.self) { try InterfaceName(text) }
    #expect(failure.code == "interface-name" && !failure.hint.isEmpty)
  }

  @Test(.enabled(if: NamespaceRig.isPossible, "needs root"), arguments: good)
  func theKernelTakesWhatWeTake(text: String) throws {
    try NamespaceRig.run {
      let tap = try TAPInterface(name: InterfaceName(text))
      #expect(tap.name == text)
    }
  }
}
