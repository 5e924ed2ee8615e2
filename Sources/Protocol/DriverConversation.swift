/// The conversation between a driver and its broker, from the driver's first word to its last.
public enum DriverConversation {
  public enum State: CaseIterable, Sendable {
    /// The process exists; nothing was said.
    case launched
    /// The driver has introduced itself.
    case greeted
    /// The driver brings its device up.
    case configuring
    /// As configuring, with a config-space access to be answered.
    case configuringAccess
    /// The device is up.
    case ready
    /// Requests flow.
    case serving
    case servingAccess
    /// The driver was asked to stop.
    case stopping
    case stoppingAccess
    case stopped
    case failed
  }

  /// A message, and who sent it.
  public enum Event: Hashable, CaseIterable, Sendable, CustomStringConvertible {
    case driver(DriverMessage.Kind)
    case broker(BrokerMessage.Kind)

    public static var allCases: [Event] {
      DriverMessage.Kind.allCases.map(Event.driver) + BrokerMessage.Kind.allCases.map(Event.broker)
    }

    public var description: String {
      switch self {
      case .driver(let kind): "driver: \(kind)"
      case .broker(let kind): "broker: \(kind)"
      }
    }
  }

  public typealias Machine = StateMachine<State, Event>

  public static let machine = Machine(
    name: "Driver conversation", initial: .launched,
    steps: [
      .init(.launched, .driver(.hello), .greeted),
      .init(.greeted, .broker(.grant), .configuring),
      .init(.configuring, .driver(.configRead), .configuringAccess),
      .init(.configuring, .driver(.configWrite), .configuringAccess),
      .init(.configuringAccess, .broker(.configValue), .configuring),
      .init(.configuring, .driver(.blockUnit), .configuring),
      .init(.configuring, .driver(.networkPort), .configuring),
      .init(.configuring, .driver(.networkLink), .configuring),
      .init(.configuring, .driver(.ready), .ready),
      .init(.ready, .broker(.networkSettings), .ready),
      .init(.ready, .driver(.networkApplied), .ready),
      .init(.ready, .driver(.networkLink), .ready),
      .init(.ready, .broker(.start), .serving),
      .init(.serving, .broker(.ping), .serving),
      .init(.serving, .driver(.pong), .serving),
      .init(.serving, .driver(.configRead), .servingAccess),
      .init(.serving, .driver(.configWrite), .servingAccess),
      .init(.serving, .broker(.networkSettings), .serving),
      .init(.serving, .driver(.networkApplied), .serving),
      .init(.serving, .driver(.networkLink), .serving),
      .init(.serving, .broker(.networkCount), .serving),
      .init(.serving, .driver(.networkStatistics), .serving),
      // These two wait until the access is answered.
      .init(.servingAccess, .broker(.networkSettings), .servingAccess),
      .init(.servingAccess, .broker(.networkCount), .servingAccess),
      .init(.servingAccess, .broker(.configValue), .serving),
      .init(.servingAccess, .broker(.ping), .servingAccess),
      .init(.servingAccess, .driver(.pong), .servingAccess),
      .init(.configuring, .broker(.stop), .stopping),
      .init(.configuringAccess, .broker(.stop), .stoppingAccess),
      .init(.ready, .broker(.stop), .stopping),
      .init(.serving, .broker(.stop), .stopping),
      .init(.servingAccess, .broker(.stop), .stoppingAccess),
      // What the driver had said before it heard of the stop is still on its way.
      .init(.stopping, .driver(.pong), .stopping),
      .init(.stopping, .driver(.blockUnit), .stopping),
      .init(.stopping, .driver(.ready), .stopping),
      .init(.stopping, .driver(.networkPort), .stopping),
      .init(.stopping, .driver(.networkLink), .stopping),
      .init(.stopping, .driver(.networkApplied), .stopping),
      .init(.stopping, .driver(.networkStatistics), .stopping),
      .init(.stopping, .driver(.configRead), .stoppingAccess),
      .init(.stopping, .driver(.configWrite), .stoppingAccess),
      .init(.stoppingAccess, .driver(.pong), .stoppingAccess),
      .init(.stoppingAccess, .broker(.configValue), .stopping),
      .init(.stopping, .driver(.stopped), .stopped),
      .init(.launched, .driver(.failed), .failed),
      .init(.greeted, .driver(.failed), .failed),
      .init(.configuring, .driver(.failed), .failed),
      .init(.configuringAccess, .driver(.failed), .failed),
      .init(.ready, .driver(.failed), .failed),
      .init(.serving, .driver(.failed), .failed),
      .init(.servingAccess, .driver(.failed), .failed),
      .init(.stopping, .driver(.failed), .failed),
      .init(.stoppingAccess, .driver(.failed), .failed),
    ])
}
