import Protocol

/// Hands out contiguous extents of the payload memory: a buddy allocator over pages, with all of its state in two arrays
/// that are made once. Allocating and freeing take a step for each order, of which there are 14.
final class PayloadAllocator {
  /// Bytes of the smallest extent.
  static let pageSize = 4096
  /// The largest extent is 2^13 pages: 32 MiB.
  private static let orders = 14
  private static let none: Int32 = -1

  private static let freeMark: UInt8 = 0x80
  private static let usedMark: UInt8 = 0x40
  private static let orderMask: UInt8 = 0x3F

  private let pages: Int
  /// At the first page of each block: a mark and the block's order; 0 elsewhere.
  private let blocks: UnsafeMutablePointer<UInt8>
  /// Lists of free blocks, one for each order: the next and the previous block, at the first page.
  private let next: UnsafeMutablePointer<Int32>
  private let previous: UnsafeMutablePointer<Int32>
  private let heads: UnsafeMutablePointer<Int32>
  /// Bytes of the largest extent there can be.
  let maximumExtent: Int
  /// Pages that are not handed out.
  private(set) var freePages = 0

  /// - Parameter size: bytes of payload memory.
  init(size: Int) {
    pages = size / Self.pageSize
    precondition(pages > 0, "payload memory holds no page")
    blocks = .allocate(capacity: pages)
    blocks.initialize(repeating: 0, count: pages)
    next = .allocate(capacity: pages)
    next.initialize(repeating: Self.none, count: pages)
    previous = .allocate(capacity: pages)
    previous.initialize(repeating: Self.none, count: pages)
    heads = .allocate(capacity: Self.orders)
    heads.initialize(repeating: Self.none, count: Self.orders)
    maximumExtent = Self.pageSize << min(Self.orders - 1, Int.bitWidth - 1 - pages.leadingZeroBitCount)
    var page = 0
    while page < pages {
      var order = Self.orders - 1
      while page & ((1 << order) - 1) != 0 || page + (1 << order) > pages { order -= 1 }
      freePages += 1 << order
      push(Int32(page), order)
      page += 1 << order
    }
  }

  deinit {
    blocks.deallocate()
    next.deallocate()
    previous.deallocate()
    heads.deallocate()
  }

  /// The first page of an extent of at least `bytes`, or nil where there is none now.
  func allocate(_ bytes: Int) -> Int32? {
    let wanted = Self.order(bytes)
    guard wanted < Self.orders else { return nil }
    var order = wanted
    while heads[order] == Self.none {
      order += 1
      guard order < Self.orders else { return nil }
    }
    let page = heads[order]
    unlink(page, order)
    while order > wanted {
      order -= 1
      push(page + Int32(1 << order), order)
    }
    blocks[Int(page)] = Self.usedMark | UInt8(wanted)
    freePages -= 1 << wanted
    return page
  }

  /// Bytes of an extent for `bytes`.
  @inline(__always)
  func size(for bytes: Int) -> Int { Self.pageSize << Self.order(bytes) }

  /// Bytes of an extent that was handed out.
  @inline(__always)
  func size(of page: Int32) -> Int { Self.pageSize << Int(blocks[Int(page)] & Self.orderMask) }

  /// Bytes of the largest extent of at most `bytes`.
  func largestExtent(within bytes: Int) -> Int {
    min(maximumExtent, 1 << (Int.bitWidth - 1 - max(Self.pageSize, bytes).leadingZeroBitCount))
  }

  /// Gives an extent back.
  func free(_ page: Int32) {
    let mark = blocks[Int(page)]
    precondition(mark & Self.usedMark != 0, "freed what was not allocated")
    var order = Int(mark & Self.orderMask)
    var page = page
    freePages += 1 << order
    blocks[Int(page)] = 0
    while order < Self.orders - 1 {
      let buddy = Int(page) ^ (1 << order)
      guard buddy + (1 << order) <= pages, blocks[buddy] == Self.freeMark | UInt8(order) else { break }
      unlink(Int32(buddy), order)
      blocks[buddy] = 0
      page = min(page, Int32(buddy))
      order += 1
    }
    push(page, order)
  }

  /// Bytes from the start of payload memory to a page.
  static func offset(_ page: Int32) -> Int { Int(page) * pageSize }

  /// The smallest order whose blocks hold `bytes`.
  private static func order(_ bytes: Int) -> Int {
    let pages = (max(1, bytes) + pageSize - 1) / pageSize
    return pages == 1 ? 0 : Int.bitWidth - (pages - 1).leadingZeroBitCount
  }

  private func push(_ page: Int32, _ order: Int) {
    let head = heads[order]
    next[Int(page)] = head
    previous[Int(page)] = Self.none
    if head != Self.none { previous[Int(head)] = page }
    heads[order] = page
    blocks[Int(page)] = Self.freeMark | UInt8(order)
  }

  private func unlink(_ page: Int32, _ order: Int) {
    let before = previous[Int(page)]
    let after = next[Int(page)]
    if before != Self.none { next[Int(before)] = after } else { heads[order] = after }
    if after != Self.none { previous[Int(after)] = before }
  }
}
