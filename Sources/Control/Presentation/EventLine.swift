/// One line of `bulkheadctl monitor`.
public enum EventLine {
  /// - Parameter time: the time of day, as it is to be shown.
  public static func text(_ event: Service.Event, time: String, style: Style = .plain) -> String {
    let tone: Style.Tone =
      switch event.kind {
      case "state": Style.tone(ofState: event.state ?? "")
      case "violation", "dma-fault", "failure": .bad
      default: .plain
      }
    let device = event.address.isEmpty ? "" : " \(event.address)" + (event.name.map { " (\($0))" } ?? "")
    return "\(time)\(device) \(style.paint(event.kind, tone)): \(event.text)"
  }
}
