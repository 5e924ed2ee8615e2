import Testing

@testable import Jail

@Suite("Command line of bulkhead-jail")
struct JailArgumentsTests {
  @Test("everything is taken over")
  func everything() throws {
    let command = try JailArguments.parse([
      "--uid", "70000", "--memlock", "4096", "--address-space", "1073741824", "--hostname", "nvme-0", "--", "nvme",
      "--x", "--",
    ])
    var expected = JailArguments()
    expected.user = 70000
    expected.lockedMemory = 4096
    expected.addressSpace = 1 << 30
    expected.hostname = "nvme-0"
    expected.driver = ["nvme", "--x", "--"]
    #expect(command == .run(expected))
  }

  @Test("without root there is no user to become")
  func unprivileged() throws {
    let command = try JailArguments.parse(["--memlock", "1", "--unprivileged", "--hostname", "h", "--", "nvme"])
    var expected = JailArguments()
    expected.lockedMemory = 1
    expected.hostname = "h"
    expected.driver = ["nvme"]
    #expect(command == .run(expected))
    #expect(expected.user == nil)
  }

  @Test("the policy can be printed") func printPolicy() throws {
    #expect(try JailArguments.parse(["--print-policy"]) == .printPolicy)
  }

  @Test(
    "refused, with the reason",
    arguments: [
      ([], "--uid is missing"),
      (["--", "x"], "--uid is missing"),
      (["--uid"], "--uid needs a value"),
      (["--uid", "--", "x"], "--uid needs a value"),
      (["--uid", "0", "--", "x"], "--uid \"0\" is not a number from 1000 to 4294967294"),
      (["--uid", "999", "--", "x"], "--uid \"999\" is not a number from 1000 to 4294967294"),
      (["--uid", "4294967295", "--", "x"], "--uid \"4294967295\" is not a number from 1000 to 4294967294"),
      (["--uid", "-1", "--", "x"], "--uid \"-1\" is not a number from 1000 to 4294967294"),
      (["--uid", "1000", "--uid", "1001", "--", "x"], "--uid is given twice"),
      (["--uid", "1000", "--unprivileged", "--", "x"], "--uid and --unprivileged exclude each other"),
      (["--unprivileged", "--unprivileged", "--", "x"], "--unprivileged is given twice"),
      (["--unprivileged", "1", "--", "x"], "unknown option \"1\""),
      (["--uid", "1000"], "-- and the driver's name are missing"),
      (["--uid", "1000", "--"], "the driver's name is missing"),
      (["--uid", "1000", "--", ""], "the driver's name is missing"),
      (["--uid", "1000", "--memlock", "1M", "--", "x"], "--memlock \"1M\" is not a number of bytes"),
      (["--uid", "1000", "--address-space", "0", "--", "x"], "--address-space 0 leaves no room for the driver itself"),
      (
        ["--uid", "1000", "--hostname", "a b", "--", "x"],
        "--hostname \"a b\" is not made of 1 to 64 letters, digits, dots and dashes"
      ),
      (["--uid", "1000", "--wat", "1", "--", "x"], "unknown option \"--wat\""),
    ] as [([String], String)])
  func refused(_ arguments: [String], _ reason: String) {
    #expect(throws: JailArguments.Invalid(text: reason)) { try JailArguments.parse(arguments) }
  }
}
