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
  /// The device lost its power: flushes under way, and the next one of each unit that had something to flush, fail.
  func deviceForgot() {
    for unit in 0..<BlockUnit.maximumCount where durability[unit].changes != durability[unit].flushed {
      durability[unit].flushed = durability[unit].changes
      durability[unit].hasLost = true
      Log.warning("unit \(unit): answered changes that were not flushed may be lost; the next flush fails")
      for index in 0..<Int32(requests.capacity) where Int(requests[index].unit) == unit {
        let request = requests[index]
        guard request.state == .pending || request.state == .active, request.operation == .flush || request.isFlushing,
          request.error == 0
        else { continue }
        fail(index, .device)
      }
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
