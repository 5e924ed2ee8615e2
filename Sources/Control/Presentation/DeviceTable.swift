/// The table of `bulkheadctl list`.
public enum DeviceTable {
  public static func text(_ devices: [Device], legend: Bool = true, style: Style = .plain) -> String {
    var table = Table(["DEVICE", "NAME", "DRIVER", "STATE", "OUTLET", "RESTARTS", "MODEL"])
    for device in devices {
      table.add([
        Table.Cell(device.address),
        Table.Cell(device.name ?? "-"),
        Table.Cell(device.driver ?? device.kernelDriver.map { "(\($0))" } ?? "-"),
        Table.Cell(device.state, Style.tone(ofState: device.state)),
        Table.Cell(outlet(device)),
        Table.Cell("\(device.restarts)", device.restarts > 0 ? .warning : .plain),
        Table.Cell(device.vendor.isEmpty ? "-" : "\(device.vendor) \(device.model)"),
      ])
    }
    return table.text(legend: legend, style: style)
  }

  /// The kernel's block devices, else the socket.
  private static func outlet(_ device: Device) -> String {
    let kernel = device.outlet?.units.compactMap(\.kernelDevice) ?? []
    if !kernel.isEmpty { return kernel.joined(separator: ",") }
    return device.outlet?.socket ?? "-"
  }
}
