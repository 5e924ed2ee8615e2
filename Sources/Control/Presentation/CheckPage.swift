/// What `bulkheadctl check` prints.
public enum CheckPage {
  /// One line for each device.
  public static func table(_ checks: [IsolationCheck], legend: Bool = true, style: Style = .plain) -> String {
    var table = Table(["DEVICE", "ID", "GROUP", "KERNEL", "DRIVERS", "RESET", "ISOLATABLE", "MODEL"])
    for check in checks {
      table.add([
        Table.Cell(check.address),
        Table.Cell("\(check.vendorID):\(check.deviceID)"),
        Table.Cell(check.group.map(String.init) ?? "-"),
        Table.Cell(check.kernelDriver ?? "-"),
        Table.Cell(drivers(check, separator: ",") ?? "-"),
        Table.Cell(check.resetMethods.first ?? "none"),
        Table.Cell(verdict(check), check.isolatable ? .good : .bad),
        Table.Cell("\(check.vendor) \(check.model)"),
      ])
    }
    return table.text(legend: legend, style: style)
  }

  /// `yes`, or `no` with the codes of what blocks.
  private static func verdict(_ check: IsolationCheck) -> String {
    check.isolatable ? "yes" : "no: " + check.blockers.map(\.code).joined(separator: ",")
  }

  /// Nil where there is none, or nobody has looked.
  private static func drivers(_ check: IsolationCheck, separator: String) -> String? {
    guard let drivers = check.drivers, !drivers.isEmpty else { return nil }
    return drivers.joined(separator: separator)
  }

  /// All that is known of one device.
  public static func text(_ check: IsolationCheck, style: Style = .plain) -> String {
    var page = Page(style: style)
    page.title("\(check.address) \(check.vendor) \(check.model) [\(check.vendorID):\(check.deviceID)]")
    page.line("Isolatable", check.isolatable ? "yes" : "no", check.isolatable ? .good : .bad)
    page.line("Class", check.className)
    page.line("Kernel driver", check.kernelDriver ?? "none")
    page.line("IOMMU group", check.group.map(String.init) ?? "none")
    if check.group != nil {
      page.lines("Group members", check.groupMembers.isEmpty ? ["it is alone"] : check.groupMembers)
    }
    page.lines("Bridges", check.bridges)
    page.line("Interrupts", "remapping is \(check.interruptRemapping)")
    page.line("Reset", check.resetMethods.isEmpty ? "none" : check.resetMethods.joined(separator: ", "))
    let none = check.drivers == nil ? "not known, as bulkheadd does not answer" : "none claims it"
    page.line("Drivers", drivers(check, separator: ", ") ?? none)
    for blocker in check.blockers {
      page.line("Blocked", "\(blocker.message) (\(blocker.code))", .bad)
      page.line("What to do", blocker.hint)
    }
    page.lines("Note", check.notes)
    return page.text
  }
}
