import Broker
import Protocol
import Testing

@testable import NBDProxy

@Suite struct UnitTableTests {
  private func announce(_ table: inout UnitTable, _ units: [BlockUnit]) -> Violation? {
    table.begin()
    do throws(ProxyRefusal) {
      for unit in units { try table.announce(unit) }
      try table.complete()
    } catch { return error.violation }
    return nil
  }

  private func changed(_ change: (inout BlockUnit) -> Void) -> BlockUnit {
    var unit = Rig.unit()
    change(&unit)
    return unit
  }

  @Test func aLaterDriverMustSayTheSame() {
    var table = UnitTable()
    #expect(announce(&table, [Rig.unit()]) == nil)
    #expect(announce(&table, [Rig.unit()]) == nil)
    #expect(announce(&table, [changed { $0.blocks += 1 }]) == nil)
    #expect(table.current[0].blocks == Rig.unit().blocks + 1)
    #expect(announce(&table, [changed { $0.maximumTransfer = 512 }]) == nil)
    #expect(announce(&table, [changed { $0.blocks += 1 }]) == nil)
    for unit in [
      changed { $0.blocks -= 1 }, changed { $0.blockSize = 4096 }, changed { $0.serial = "other" },
      changed { $0.model = "other" }, changed { $0.identifier = 2 },
      changed { $0.features.remove(.discard) }, changed { $0.features.insert(.readOnly) },
    ] {
      #expect(announce(&table, [unit]) == .geometryChanged)
    }
    #expect(announce(&table, []) == .unitInvalid)
    #expect(table.current[0].blocks == Rig.unit().blocks + 1, "what is refused changes nothing")
  }

  /// What a liar says of the disk is over with it: the next driver is measured by the first one.
  @Test func aLieBindsNobody() {
    var table = UnitTable()
    #expect(announce(&table, [Rig.unit()]) == nil)
    let lie = changed {
      $0.blocks = 1 << 50
      $0.maximumTransfer = 0xFFFF_FE00
      $0.features.formUnion([.forceUnitAccess, .discard, .writeZeroes])
    }
    #expect(announce(&table, [lie]) == nil)
    #expect(announce(&table, [Rig.unit()]) == nil)
    #expect(table.current == [Rig.unit()])
  }

  @Test func unitsComeInOrderAndOnce() {
    var table = UnitTable()
    let second = changed {
      $0.index = 1
      $0.identifier = 2
    }
    #expect(announce(&table, [second]) == .unitInvalid)
    #expect(announce(&table, [Rig.unit(), Rig.unit()]) == .unitInvalid)
    #expect(announce(&table, [Rig.unit(), changed { $0.index = 1 }]) == .unitInvalid)
    #expect(announce(&table, [Rig.unit(), second]) == nil)
    #expect(announce(&table, [Rig.unit()]) == .geometryChanged)
  }
}
