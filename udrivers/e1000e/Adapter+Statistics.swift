import DriverKit

extension Adapter {
  private static let counters: [(NetworkStatistics.Counter, Register<UInt32>)] = [
    (.receivedFrames, StatisticsRegister.receivedFrames), (.sentFrames, StatisticsRegister.sentFrames),
    (.receivedMulticast, StatisticsRegister.receivedMulticast),
    (.receivedBroadcast, StatisticsRegister.receivedBroadcast),
    (.sentMulticast, StatisticsRegister.sentMulticast), (.sentBroadcast, StatisticsRegister.sentBroadcast),
    (.missedFrames, StatisticsRegister.missedFrames), (.noBuffer, StatisticsRegister.noBuffer),
    (.checksumErrors, StatisticsRegister.checksumErrors), (.alignmentErrors, StatisticsRegister.alignmentErrors),
    (.receiveErrors, StatisticsRegister.receiveErrors), (.lengthErrors, StatisticsRegister.lengthErrors),
    (.undersize, StatisticsRegister.undersize), (.oversize, StatisticsRegister.oversize),
    (.fragments, StatisticsRegister.fragments), (.jabber, StatisticsRegister.jabber),
    (.collisions, StatisticsRegister.collisions), (.lateCollisions, StatisticsRegister.lateCollisions),
    (.deferred, StatisticsRegister.deferred), (.carrierLost, StatisticsRegister.carrierLost),
    (.pauseReceived, StatisticsRegister.pauseReceived), (.pauseSent, StatisticsRegister.pauseSent),
    (.segmented, StatisticsRegister.segmented),
  ]

  /// Adds what the controller has counted since the last time.
  /// - Throws: ``FailureCode/deviceGone``: all ones in every counter are no counts.
  func addStatistics(to statistics: inout NetworkStatistics) throws(DriverFailure) {
    _ = try status()
    for (counter, register) in Self.counters { statistics[counter] &+= UInt64(bar.read(register)) }
    statistics[.receivedOctets] &+= readHalves(StatisticsRegister.receivedOctets)
    statistics[.sentOctets] &+= readHalves(StatisticsRegister.sentOctets)
    _ = try status()
  }

  func clearStatistics() {
    for (_, register) in Self.counters { _ = bar.read(register) }
    _ = readHalves(StatisticsRegister.receivedOctets)
    _ = readHalves(StatisticsRegister.sentOctets)
  }

  private func readHalves(_ register: Register<UInt32>) -> UInt64 {
    let low = bar.read(register)
    return UInt64(bar.read(Register<UInt32>(register.offset + 4))) << 32 | UInt64(low)
  }
}
