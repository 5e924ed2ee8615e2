import Broker
import Platform
import Protocol

/// Remembers what a proxy says, and behaves as a session does.
final class RecordingHost: ProxyHost {
  private(set) var events: [BrokerEvent] = []
  private(set) var told: [BrokerMessage] = []
  private(set) var violations: [Violation] = []
  private(set) var details: [String] = []
  private(set) var isDistrusted = false
  /// Whether the driver takes messages.
  var isReading = true
  /// What the session does when a driver is lost.
  var onDistrust: () -> Void = {}

  func tellSupervisor(_ event: BrokerEvent, files: [Int32]) {
    files.forEach(Descriptor.close)
    events.append(event)
  }

  func tellDriver(_ message: BrokerMessage) -> Bool {
    if isReading { told.append(message) }
    return isReading
  }

  func violated(_ violation: Violation, _ detail: String) {
    violations.append(violation)
    details.append(detail)
  }

  func distrustDriver(_ violation: Violation, _ detail: String) {
    violated(violation, detail)
    isDistrusted = true
    onDistrust()
  }

  func forget() {
    events = []
    told = []
    violations = []
    details = []
  }
}
