import Glibc

extension Device {
  /// The device of this process: everything is mapped from the files that the jail put at their numbers.
  /// - Throws: ``FailureCode/resources`` with the kernel's error number.
  static func ofProcess(_ grant: DeviceGrant, _ control: ControlPort) throws(DriverFailure) -> Device {
    let queues = Int(grant.queues)
    let rings = try map(DriverFile.rings, 0, max(1, queues) * queueLayout(of: grant).stride, "rings")
    let arena = try map(DriverFile.arena, 0, Int(grant.arenaSize), "DMA memory")
    return Device(
      grant: grant, control: control, bars: try mapBars(grant),
      arena: DMAMemory(pointer: arena, address: AddressMap.arena, length: Int(grant.arenaSize)), rings: rings,
      interrupts: (0..<Int32(grant.interrupts)).map { DriverFile.interrupts + $0 },
      kicks: (0..<Int32(queues)).map { DriverFile.kicks + $0 }, calls: (0..<Int32(queues)).map { DriverFile.calls + $0 }
    )
  }

  /// The jail's filter permits just this on the device file: each granted range, from its beginning.
  private static func mapBars(_ grant: DeviceGrant) throws(DriverFailure) -> [Bar?] {
    var windows = [[Bar.Window]](repeating: [], count: 6)
    for range in grant.bars {
      let base = try map(DriverFile.device, range.fileOffset, Int(range.length), "BAR \(range.bar)")
      windows[Int(range.bar)].append(Bar.Window(offset: Int(range.offset), length: Int(range.length), base: base))
    }
    return windows.enumerated().map { number, windows in
      windows.isEmpty ? nil : Bar(windows: windows, bell: grant.hasBell && number == 0 ? DriverFile.bell : nil)
    }
  }

  /// Maps for as long as the process lives.
  private static func map(
    _ file: Int32, _ offset: UInt64, _ length: Int, _ purpose: String
  ) throws(DriverFailure) -> UnsafeMutableRawPointer {
    guard let base = mmap(nil, length, PROT_READ | PROT_WRITE, MAP_SHARED, file, off_t(Int64(bitPattern: offset))),
      base != MAP_FAILED
    else {
      throw DriverFailure(
        .resources, "cannot map \(length) bytes of \(purpose)", errno: UInt16(truncatingIfNeeded: errno))
    }
    return base
  }
}
