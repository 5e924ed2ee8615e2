import Glibc
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

  /// An emulated device hears of every kind of write, but only while it says that it has to.
  @Test func writesRingTheBellWhereItIsWanted() throws {
    let bell = try EventDescriptor.make()
    let memory = UnsafeMutableRawPointer.allocate(byteCount: 8192, alignment: 4096)
    defer { memory.deallocate() }
    memory.initializeMemory(as: UInt8.self, repeating: 0, count: 8192)
    let window = Bar.Window(offset: 0, length: 8192, base: memory)
    let bar = Bar(windows: [window], bell: bell.number)
    func writeAll(_ bar: Bar) -> UInt64 {
      bar.write(Register<UInt8>(0), 1)
      bar.write(Register<UInt16>(2), 1)
      bar.write(Register<UInt32>(4), 1)
      bar.write(Register<UInt64>(8), 1)
      _ = bar.read(Register<UInt32>(4))
      return EventDescriptor.drain(bell.number)
    }
    #expect(writeAll(bar) == 0)
    // Of double words 0, 0, 1 and 2 all, then just the last, then the others.
    for (wanted, rings) in [(UInt32(7), UInt64(4)), (4, 1), (3, 3), (0xFFFF_FFF8, 0)] {
      memory.storeBytes(of: wanted, toByteOffset: DriverFile.bellWantedOffset, as: UInt32.self)
      #expect(writeAll(bar) == rings)
    }
    // A device that is gone reads as all ones; ringing does no harm.
    memory.storeBytes(of: .max, toByteOffset: DriverFile.bellWantedOffset, as: UInt32.self)
    #expect(writeAll(bar) == 4)
    #expect(writeAll(Bar(windows: [window])) == 0, "a real device has no such word")
    let part = Bar(windows: [Bar.Window(offset: 0, length: 4096, base: memory)], bell: bell.number)
    #expect(writeAll(part) == 0, "the word was not granted")
  }
}
