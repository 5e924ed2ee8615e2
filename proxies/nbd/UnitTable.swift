import Broker
import Protocol

/// The units of a device, as one driver after the other announces them.
///
/// The first driver says what there is. A later one must say the same, or something that an open outlet can live with:
/// a larger size, another cache. Anything else is another device, or a driver that lies.
struct UnitTable {
  /// What the drivers before have agreed on; empty before the first is complete.
  private(set) var current: [BlockUnit] = []
  private var announced: [BlockUnit] = []

  /// Another driver begins.
  mutating func begin() { announced = [] }

  mutating func announce(_ unit: BlockUnit) throws(ProxyRefusal) {
    guard Int(unit.index) == announced.count else {
      throw ProxyRefusal(.unitInvalid, "unit \(unit.index) announced as number \(announced.count)")
    }
    guard !announced.contains(where: { $0.identifier == unit.identifier }) else {
      throw ProxyRefusal(.unitInvalid, "two units with identifier \(unit.identifier)")
    }
    if Int(unit.index) < current.count, let change = Self.change(from: current[Int(unit.index)], to: unit) {
      throw ProxyRefusal(.geometryChanged, "unit \(unit.index): \(change)")
    }
    announced.append(unit)
  }

  mutating func complete() throws(ProxyRefusal) {
    guard !announced.isEmpty else { throw ProxyRefusal(.unitInvalid, "ready without a unit") }
    guard announced.count >= current.count else {
      throw ProxyRefusal(.geometryChanged, "\(announced.count) units, there were \(current.count)")
    }
    for (old, new) in zip(current, announced) where new.blocks > old.blocks {
      Log.info("unit \(new.index) has grown from \(old.size) to \(new.size) bytes")
    }
    // Outlets were opened for the first driver's units; more are not offered before the broker starts anew.
    current = current.isEmpty ? announced : Array(announced.prefix(current.count))
  }

  /// What an open outlet cannot live with, or nil.
  static func change(from old: BlockUnit, to new: BlockUnit) -> String? {
    if new.identifier != old.identifier || new.model != old.model || new.serial != old.serial {
      return "another device (\(new.model) \(new.serial), identifier \(new.identifier))"
    }
    if new.blockSize != old.blockSize { return "block size \(new.blockSize), was \(old.blockSize)" }
    if new.blocks < old.blocks { return "\(new.blocks) blocks, were \(old.blocks)" }
    // Parts in flight have been cut to the old size.
    if new.maximumTransfer < old.maximumTransfer {
      return "maximum transfer \(new.maximumTransfer), was \(old.maximumTransfer)"
    }
    let promised = old.features.intersection([.forceUnitAccess, .discard, .writeZeroes])
    if !new.features.isSuperset(of: promised) { return "lost a feature" }
    if new.features.contains(.readOnly), !old.features.contains(.readOnly) { return "has become read-only" }
    return nil
  }
}
