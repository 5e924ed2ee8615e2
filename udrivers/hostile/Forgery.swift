import DriverKit
import Glibc

/// Completions that a broker must not believe. Requests are taken and answered wrongly; none reaches the device.
struct Forgery {
  enum Kind: String, CaseIterable {
    /// One after the other.
    case all
    /// An id that names no request.
    case unknown
    /// An id outside the queue.
    case outside
    /// The same request twice.
    case duplicate
    /// The tag of an earlier request.
    case stale
    /// A status, an errno or a length that cannot be.
    case status, errno, length
    /// A used index far ahead.
    case jump
  }

  let kind: Kind
  private var turn = 0
  private var earlier: UInt16?

  init(kind: Kind) { self.kind = kind }

  private static let order = Kind.allCases.filter { $0 != .all && $0 != .jump } + [.jump]

  /// Answers everything that is there, wrongly.
  mutating func serve(_ queue: BlockQueue) throws(DriverFailure) -> Bool {
    var found = false
    while let request = try queue.next() {
      found = true
      let present = kind == .all ? Self.order[turn % Self.order.count] : kind
      turn += 1
      Log.warning("completions: \(present.rawValue) for head \(request.rawHead)")
      answer(request, present, queue)
      earlier = request.rawHead
    }
    return found
  }

  private func answer(_ request: BlockRequest, _ kind: Kind, _ queue: BlockQueue) {
    let tag = UInt64(request.rawTag) << 32
    switch kind {
    case .all: break
    // Descriptors of a slot come in threes; the last of them is never a head.
    case .unknown: queue.forgeCompletion(head: request.rawHead + 2, length: 8)
    case .outside: queue.forgeCompletion(head: UInt16(queue.size), length: 8)
    case .duplicate: queue.forgeCompletion(head: earlier ?? request.rawHead, length: 8)
    case .stale:
      queue.forgeStatus(request, UInt64(request.rawTag &- 1) << 32)
      queue.forgeCompletion(head: request.rawHead, length: 8)
    case .status:
      queue.forgeStatus(request, tag | 77)
      queue.forgeCompletion(head: request.rawHead, length: 8)
    case .errno:
      queue.forgeStatus(request, tag | 0xffff << 16)
      queue.forgeCompletion(head: request.rawHead, length: 8)
    case .length:
      queue.forgeStatus(request, tag)
      queue.forgeCompletion(head: request.rawHead, length: .max)
    case .jump: queue.forgeUsedIndex(ahead: 30_000)
    }
  }
}
