import Platform
import Testing

@testable import VFIO

@Suite struct CapabilityChainTests {
  private let fixed = [UInt8](repeating: 0, count: 32)

  @Test func noChainIsEmpty() throws {
    #expect(try CapabilityChain.parse(fixed, first: 0, fixedSize: 32) == [])
  }

  @Test func followsOffsetsFromTheStartOfTheAnswer() throws {
    let bytes = fixed + (InfoBytes.capability(1, next: 48) + .u64(0) + .capability(3, next: 0)).bytes
    #expect(
      try CapabilityChain.parse(bytes, first: 32, fixedSize: 32) == [
        InfoCapability(id: 1, version: 1, contents: 40), InfoCapability(id: 3, version: 1, contents: 56),
      ])
  }

  @Test(
    "a chain that leaves the answer, the alignment or itself is refused",
    arguments: [
      (first: UInt32(16), next: UInt32(0)),  // into the fixed part
      (first: 33, next: 0),  // not aligned
      (first: 36, next: 0),  // the header ends behind the answer
      (first: 4096, next: 0),  // behind the answer
      (first: .max, next: 0),
      (first: 32, next: 32),  // bites its tail
      (first: 32, next: 8),
      (first: 32, next: 0xffff_fffc),
    ])
  func hostileChain(first: UInt32, next: UInt32) {
    let bytes = fixed + InfoBytes.capability(1, next: next).bytes
    #expect(throws: Failure.self) { try CapabilityChain.parse(bytes, first: first, fixedSize: 32) }
  }

  @Test func aLoopOfTwoIsRefused() {
    let bytes = fixed + (InfoBytes.capability(1, next: 40) + .capability(2, next: 32)).bytes
    #expect(throws: Failure.self) { try CapabilityChain.parse(bytes, first: 32, fixedSize: 32) }
  }
}
