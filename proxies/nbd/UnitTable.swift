import Broker
import Protocol

/// The units of a device, as one driver after the other announces them.
///
/// The first driver says what there is, and outlets are opened for that. A later one must say the same, or something that an
/// open outlet can live with: a larger size, another cache, other transfers. Anything else is another device, or a driver
/// that lies. What a driver says beyond the first one's word binds nobody after it.
struct UnitTable {
  /// The first driver's; empty before it is complete.
  private(set) var opened: [BlockUnit] = []
  /// The present or last driver's.
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
    if Int(unit.index) < opened.count, let change = Self.change(from: opened[Int(unit.index)], to: unit) {
      throw ProxyRefusal(.geometryChanged, "unit \(unit.index): \(change)")
    }
    announced.append(unit)
  }

  mutating func complete() throws(ProxyRefusal) {
    guard !announced.isEmpty else { throw ProxyRefusal(.unitInvalid, "ready without a unit") }
    guard announced.count >= opened.count else {
      throw ProxyRefusal(.geometryChanged, "\(announced.count) units, there were \(opened.count)")
    }
    for (old, new) in zip(current, announced) where new.blocks != old.blocks {
      Log.info("unit \(new.index) has \(new.size) bytes now, it had \(old.size)")
    }
    if opened.isEmpty { opened = announced }
    // More units are not offered before the broker starts anew.
    current = Array(announced.prefix(opened.count))
  }

  /// What an open outlet cannot live with, or nil.
  static func change(from old: BlockUnit, to new: BlockUnit) -> String? {
    if new.identifier != old.identifier || new.model != old.model || new.serial != old.serial {
      return "another device (\(new.model) \(new.serial), identifier \(new.identifier))"
    }
    if new.blockSize != old.blockSize { return "block size \(new.blockSize), was \(old.blockSize)" }
    if new.blocks < old.blocks { return "\(new.blocks) blocks, were \(old.blocks)" }
    let promised = old.features.intersection([.forceUnitAccess, .discard, .writeZeroes])
    if !new.features.isSuperset(of: promised) { return "lost a feature" }
    if new.features.contains(.readOnly), !old.features.contains(.readOnly) { return "has become read-only" }
    return nil
  }
}
