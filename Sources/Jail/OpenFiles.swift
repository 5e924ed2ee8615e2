import CBulkhead
import Platform
import Protocol

/// The open files of a driver: exactly those of its grant, at the numbers of `DriverFile`.
struct OpenFiles {
  /// Where files wait while the final numbers may still be taken by others.
  private static let parking = DriverFile.executable + 1

  /// Number in the driver, and the file's number now.
  private var placements: [(final: Int32, current: Int32)]

  /// Checks that a grant has what every driver needs and nothing that no driver gets.
  /// - Parameter files: as they came with the grant; owned from here on.
  /// - Throws: ``Failure`` `jail-grant`.
  init(_ grant: LaunchGrant, files: [Int32]) throws(Failure) {
    let code = ConfinementStep.grant.code
    guard grant.fileNumbers.count == files.count else {
      throw Failure(code, "match \(grant.fileNumbers.count) file numbers with \(files.count) files")
    }
    let numbers = grant.fileNumbers.map { Int32($0) }
    let required = [DriverFile.rings, DriverFile.arena, DriverFile.device]
    for number in required where !numbers.contains(number) {
      throw Failure(code, "find file \(number) in the grant")
    }
    let queuesEnd = DriverFile.calls + Int32(DriverFile.maximumQueues)
    for number in numbers {
      let known =
        required.contains(number) || number == DriverFile.payload || number == DriverFile.bell
        || (DriverFile.interrupts..<queuesEnd).contains(number)
      guard known else { throw Failure(code, "accept file \(number): no driver has it") }
    }
    for bar in grant.bars {
      let page = UInt64(pageSize)
      // The kernel rounds a length up to whole pages, so part of a page would grant all of it.
      guard bar.length > 0, bar.length % page == 0, bar.fileOffset % page == 0 else {
        throw Failure(code, "accept a range of BAR \(bar.bar) that is not made of whole pages")
      }
    }
    placements = zip(numbers, files).map { ($0, $1) }
  }

  /// Puts every file at its number, the driver's executable at `DriverFile.executable` (close-on-exec), and closes all
  /// others. Log and control stay where they are.
  /// - Parameter executable: its number now.
  /// - Throws: ``Failure`` `jail-files`.
  mutating func place(executable: Int32) throws(Failure) {
    let code = ConfinementStep.files.code
    placements.append((DriverFile.executable, executable))
    // Two passes: a final number may be where another file came in.
    for index in placements.indices {
      let parked = bh_dup_above(placements[index].current, Self.parking)
      placements[index].current = try checked(parked, code, "move file \(placements[index].final) out of the way")
    }
    for (final, current) in placements {
      let flags: Int32 = final == DriverFile.executable ? 0o2000000 : 0  // O_CLOEXEC
      try checked(bh_dup_to(current, final, flags), code, "put file \(final) in its place")
    }
    try checked(bh_set_cloexec(DriverFile.log, 0), code, "keep the log open")
    try checked(bh_set_cloexec(DriverFile.control, 0), code, "keep the control socket open")
    try closeOthers()
  }

  private func closeOthers() throws(Failure) {
    let kept = ([DriverFile.log, DriverFile.control] + placements.map(\.final)).map { UInt32($0) }.sorted()
    var next: UInt32 = 0
    for number in kept {
      if number > next { try closeRange(next, number - 1) }
      next = number + 1
    }
    try closeRange(next, .max)
  }

  private func closeRange(_ first: UInt32, _ last: UInt32) throws(Failure) {
    try checked(
      bh_close_range(first, last, 0), ConfinementStep.files.code, "close files \(first) to \(last)",
      hint: "the kernel must be Linux 5.9 or newer")
  }
}
