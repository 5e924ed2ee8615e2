import Testing

@testable import DriverKit

@Suite struct BarTests {
  @Test func readsAndWritesAtTheirWidth() {
    let memory = UnsafeMutableRawPointer.allocate(byteCount: 64, alignment: 8)
    defer { memory.deallocate() }
    memory.initializeMemory(as: UInt8.self, repeating: 0, count: 64)
    let bar = Bar(windows: [Bar.Window(offset: 0x100, length: 64, base: memory)])
    bar.write(Register<UInt64>(0x108), 0x1122_3344_5566_7788)
    #expect(memory.load(fromByteOffset: 8, as: UInt64.self) == 0x1122_3344_5566_7788)
    #expect(bar.read(Register<UInt32>(0x10c)) == 0x1122_3344)
    #expect(bar.read(Register<UInt16>(0x108)) == 0x7788)
    #expect(bar.read(Register<UInt8>(0x10f)) == 0x11)
    bar.write(Register<UInt8>(0x108), 0xff)
    bar.write(Register<UInt16>(0x10a), 0xeeee)
    bar.write(Register<UInt32>(0x10c), 0xdddd_dddd)
    #expect(bar.read(Register<UInt64>(0x108)) == 0xdddd_dddd_eeee_77ff)
  }

  @Test(arguments: [
    (0xfff, 1, false), (0x1000, 4, true), (0x1ffc, 4, true), (0x1ffd, 4, false), (0x1ff8, 8, true), (0x2000, 1, false),
    (0x3000, 8, true), (0x3ff8, 8, true), (0x3ffc, 8, false), (Int.max, 1, false), (-4, 4, false),
  ])
  func coversOnlyWhatWasGranted(offset: Int, width: Int, covered: Bool) {
    let memory = UnsafeMutableRawPointer.allocate(byteCount: 8192, alignment: 8)
    defer { memory.deallocate() }
    let bar = Bar(windows: [
      Bar.Window(offset: 0x1000, length: 0x1000, base: memory),
      Bar.Window(offset: 0x3000, length: 0x1000, base: memory + 4096),
    ])
    #expect(bar.covers(offset, width) == covered)
  }

  @Test func accessOutsideEndsTheProcess() async {
    await #expect(processExitsWith: .failure) {
      let memory = UnsafeMutableRawPointer.allocate(byteCount: 4096, alignment: 8)
      let bar = Bar(windows: [Bar.Window(offset: 0, length: 4092, base: memory)])
      _ = bar.read(Register<UInt64>(4088))
    }
  }

  @Test func mediatedAccessesReachTheMediator() {
    final class Log {
      var writes: [[UInt64]] = []
    }
    let log = Log()
    let bar = Bar(
      windows: [Bar.Window(offset: 0, length: 0x100, base: nil)],
      mediator: BarMediator(
        context: Unmanaged.passUnretained(log).toOpaque(), read: { _, offset, width in UInt64(offset * 16 + width) },
        write: { context, offset, width, value in
          Unmanaged<Log>.fromOpaque(context!).takeUnretainedValue().writes.append([
            UInt64(offset), UInt64(width), value,
          ])
        }))
    #expect(bar.read(Register<UInt32>(0x10)) == 0x104)
    #expect(bar.read(Register<UInt64>(0x20)) == 0x208)
    bar.write(Register<UInt16>(0x30), 7)
    #expect(log.writes == [[0x30, 2, 7]])
  }
}
