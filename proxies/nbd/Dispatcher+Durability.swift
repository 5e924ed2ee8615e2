import Broker
import Protocol

/// What a unit's volatile cache may hold.
struct UnitDurability {
  /// Changes that were completed without being forced to the medium.
  var changes: UInt64 = 0
  /// So many of them a flush has covered.
  var flushed: UInt64 = 0
  /// Changes that were answered are lost, and no client was told yet.
  var hasLost = false
}

/// A device that loses its power loses what was not flushed. A later flush succeeds on the device, but would say of those
/// changes, too, that they are durable: it is answered with an error instead, as a failed writeback is elsewhere.
extension Dispatcher {
  /// The device lost its power: flushes under way, and the next one of each unit that had something to flush, fail. What is
  /// not answered yet is done again, also the parts of it that were completed. Called where there is no driver.
  func deviceForgot() {
    beginAnew { isLost($0) }
    for unit in 0..<BlockUnit.maximumCount where durability[unit].changes != durability[unit].flushed {
      durability[unit].flushed = durability[unit].changes
      durability[unit].hasLost = true
      Log.warning("unit \(unit): answered changes that were not flushed may be lost; the next flush fails")
      for index in 0..<Int32(requests.capacity) where Int(requests[index].unit) == unit {
        let request = requests[index]
        guard request.state == .pending || request.state == .active, request.operation == .flush, request.error == 0
        else { continue }
        fail(index, .device)
      }
    }
  }

  /// Requests of which the driver was given something begin again, where `isMeant`. What it had not yet done of them goes to
  /// no other driver as it is. Called where there is no driver.
  func beginAnew(where isMeant: (Request) -> Bool) {
    func begins(_ index: Int32) -> Bool {
      let request = requests[index]
      let isUnderWay = request.state == .pending || request.state == .active
      return isUnderWay && request.operation != .flush && request.issued > 0 && request.error == 0 && isMeant(request)
    }
    for queue in 0..<slots.queues {
      for slot in 0..<slots.slots where slots[queue, slot].isInFlight && begins(slots[queue, slot].request) {
        requests[slots[queue, slot].request].parts -= 1
        slots.release(queue: queue, slot: slot)
      }
    }
    var count = 0
    for index in 0..<Int32(requests.capacity) where begins(index) {
      requests[index].issued = 0
      requests[index].isFlushing = false
      // One that is pending is in that list already.
      if requests[index].state == .active { enqueue(index) }
      count += 1
    }
    noteReplay(count)
    if count > 0 { Log.info("\(count) requests begin again") }
  }

  /// Whether a loss of power takes what was done of a request that is not answered yet.
  private func isLost(_ request: Request) -> Bool {
    request.isChange && !request.flags.contains(.forceUnitAccess)
      && limits(request.unit).features.contains(.volatileCache)
  }

  /// What was to be forced to the medium is, by a flush, where there is a cache: the unit can no longer do it itself.
  func flushInstead(unit: Int) {
    for index in 0..<Int32(requests.capacity) where Int(requests[index].unit) == unit {
      guard [.pending, .active, .blocked, .receiving].contains(requests[index].state),
        requests[index].flags.contains(.forceUnitAccess)
      else { continue }
      requests[index].flags.remove(.forceUnitAccess)
      requests[index].flushAfter = limits(requests[index].unit).features.contains(.volatileCache)
    }
  }

  /// A request is done: counts what a loss of power could take.
  @inline(__always)
  func noteDurability(_ index: Int32) {
    let request = requests[index]
    let unit = Int(request.unit)
    if request.operation == .flush {
      if durability[unit].hasLost {
        durability[unit].hasLost = false
        fail(index, .device)
      } else if request.error == 0 {
        durability[unit].flushed = max(durability[unit].flushed, request.covers)
      }
    } else if request.isChange, !request.flags.contains(.forceUnitAccess), !request.flushAfter,
      limits(request.unit).features.contains(.volatileCache)
    {
      // Also one that failed: it may have been carried out in part, and a later flush promises that part.
      durability[unit].changes += 1
    }
  }
}
