/// The table of `bulkheadctl list`.
public enum DeviceTable {
  /// What to say where the configuration names no device.
  public static let emptyHint = "no device is configured; bulkheadctl list --all shows what there is"

  public static func text(_ devices: [Device], legend: Bool = true, style: Style = .plain) -> String {
    var table = Table(["DEVICE", "NAME", "DRIVER", "DESIRED", "STATE", "OUTLET", "RESTARTS", "MODEL"])
    for device in devices {
      table.add([
        Table.Cell(device.address),
        Table.Cell(device.name ?? "-"),
        Table.Cell(device.driver ?? device.kernelDriver.map { "(\($0))" } ?? "-"),
        Table.Cell(device.desired),
        Table.Cell(device.state, Style.tone(ofState: device.state)),
        Table.Cell(outlet(device)),
        Table.Cell("\(device.restarts)", device.restarts > 0 ? .warning : .plain),
        Table.Cell(device.vendor.isEmpty ? "-" : "\(device.vendor) \(device.model)"),
      ])
    }
    return table.text(legend: legend, style: style)
  }

  /// The interface, or the kernel's block devices, else the socket.
  private static func outlet(_ device: Device) -> String {
    if let interface = device.outlet?.interface {
      return interface.name + (interface.namespace.map { "@\($0)" } ?? "")
    }
    let kernel = device.outlet?.units.compactMap(\.kernelDevice) ?? []
    if !kernel.isEmpty { return kernel.joined(separator: ",") }
    return device.outlet?.socket ?? "-"
  }
}
