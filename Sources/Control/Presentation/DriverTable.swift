/// What `bulkheadctl drivers` prints.
public enum DriverTable {
  public static func text(_ drivers: [DriverDetail], legend: Bool = true, style: Style = .plain) -> String {
    var table = Table(["DRIVER", "CLASS", "VERSION", "MATCHES", "DEVICES", "MANIFEST"])
    for driver in drivers {
      let isBroken = !driver.issues.isEmpty
      table.add([
        Table.Cell(driver.name, isBroken ? .bad : .plain),
        Table.Cell(isBroken ? "broken" : driver.deviceClass ?? "-", isBroken ? .bad : .plain),
        Table.Cell(driver.version ?? "-"),
        Table.Cell(list(driver.matches)),
        Table.Cell(list(driver.devices)),
        Table.Cell(driver.manifest),
      ])
    }
    return table.text(legend: legend, style: style)
  }

  private static func list(_ words: [String]) -> String { words.isEmpty ? "-" : words.joined(separator: ",") }
}
