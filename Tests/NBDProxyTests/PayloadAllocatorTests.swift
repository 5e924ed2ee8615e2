import Platform
import Testing

@testable import NBDProxy

@Suite struct PayloadAllocatorTests {
  /// Any sequence of allocations and frees: extents lie inside, do not overlap, and all memory comes back.
  @Test(arguments: [1, 3, 64, 256, 1000, 8192, 8193, 20000]) func randomUse(pages: Int) {
    var random = SeededGenerator(seed: UInt64(pages))
    let allocator = PayloadAllocator(size: pages * 4096)
    var owner = [Int32](repeating: -1, count: pages)
    var live: [(page: Int32, pages: Int)] = []
    for _ in 0..<4000 {
      if Bool.random(using: &random), let bytes = [512, 4096, 20000, 131072, 1 << 20].randomElement(using: &random) {
        guard let page = allocator.allocate(bytes) else { continue }
        let count = (bytes + 4095) / 4096
        #expect(Int(page) + count <= pages)
        for index in Int(page)..<Int(page) + count {
          #expect(owner[index] == -1)
          owner[index] = page
        }
        live.append((page, count))
      } else if !live.isEmpty {
        let (page, count) = live.remove(at: Int.random(in: 0..<live.count, using: &random))
        for index in Int(page)..<Int(page) + count { owner[index] = -1 }
        allocator.free(page)
      }
    }
    for (page, _) in live { allocator.free(page) }
    #expect(allocator.freePages == pages)
    // Everything has merged again.
    #expect(allocator.allocate(allocator.maximumExtent) != nil)
  }

  @Test(arguments: [(1, 4096), (255, 128 * 4096), (256, 256 * 4096), (8192, 1 << 25), (9000, 1 << 25)])
  func maximumExtent(pages: Int, bytes: Int) {
    let allocator = PayloadAllocator(size: pages * 4096)
    #expect(allocator.maximumExtent == bytes)
    #expect(allocator.allocate(bytes) != nil)
    #expect(allocator.allocate((1 << 25) + 1) == nil)
  }

  @Test func exhaustionIsNotAnError() {
    let allocator = PayloadAllocator(size: 4 * 4096)
    let pages = (0..<4).map { _ in allocator.allocate(1) }
    #expect(Set(pages) == [0, 1, 2, 3])
    #expect(allocator.allocate(1) == nil)
    allocator.free(2)
    #expect(allocator.allocate(1) == 2)
  }
}
