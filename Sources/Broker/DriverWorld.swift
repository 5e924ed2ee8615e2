import Platform
import Protocol
import Virtqueue

/// The memory and the eventfds of one driver. Made fresh for each, never handed on; gone when this is released.
final class DriverWorld {
  let rings: SharedMemory
  /// Mapped here because type1 maps by address, and for the outlet of a network device, which moves frames between it and
  /// an interface. The broker believes nothing that is in it.
  let arena: SharedMemory
  let interrupts: EventDescriptors
  let kicks: EventDescriptors
  let calls: EventDescriptors
  let queueLayout: SlottedQueueLayout
  /// What the driver may map of the device.
  let bars: [BarRange]

  /// - Throws: `memfd`, `mmap`, `eventfd`.
  init(
    _ configuration: BrokerConfiguration, queueLayout: SlottedQueueLayout, vectors: Int, bars: [BarRange]
  ) throws(Failure) {
    let queues = Int(configuration.queues)
    rings = try SharedMemory(name: "bulkhead-rings", size: queues * queueLayout.stride)
    arena = try SharedMemory(name: "bulkhead-arena", size: Int(configuration.arenaSize))
    interrupts = try EventDescriptors(count: vectors)
    kicks = try EventDescriptors(count: queues)
    calls = try EventDescriptors(count: queues)
    self.queueLayout = queueLayout
    self.bars = bars
  }

  var queues: DriverQueues {
    DriverQueues(
      base: rings.mapping.base, layout: queueLayout, count: kicks.numbers.count, kicks: kicks.numbers,
      calls: calls.numbers,
      arena: UnsafeMutableRawBufferPointer(start: arena.mapping.base, count: arena.mapping.length))
  }

  /// The message that gives the driver its files, and the files in its order.
  func launchGrant(device: Int32, payload: Int32?, bell: Int32?) -> (LaunchGrant, files: [Int32]) {
    var numbers = [DriverFile.rings, DriverFile.arena, DriverFile.device]
    var files = [rings.file.number, arena.file.number, device]
    for (number, file) in [(DriverFile.payload, payload), (DriverFile.bell, bell)] {
      guard let file else { continue }
      numbers.append(number)
      files.append(file)
    }
    for (first, descriptors) in [
      (DriverFile.interrupts, interrupts), (DriverFile.kicks, kicks), (DriverFile.calls, calls),
    ] {
      for (index, file) in descriptors.numbers.enumerated() {
        numbers.append(first + Int32(index))
        files.append(file)
      }
    }
    return (LaunchGrant(fileNumbers: numbers.map(UInt8.init), bars: bars), files)
  }
}

/// Several eventfds, closed together.
final class EventDescriptors {
  let numbers: [Int32]

  /// - Throws: `eventfd`.
  init(count: Int) throws(Failure) {
    var numbers: [Int32] = []
    do throws(Failure) {
      for _ in 0..<count { numbers.append(try EventDescriptor.make().release()) }
    } catch {
      numbers.forEach(Descriptor.close)
      throw error
    }
    self.numbers = numbers
  }

  deinit { numbers.forEach(Descriptor.close) }
}
