import Broker
import Protocol

/// What the present driver said of its port, and what it was told: one driver after the other.
struct PortState {
  private(set) var port: NetworkPort?
  private(set) var link = NetworkLink.down
  /// How the port has to be; outlives drivers. Nil until the supervisor has said so.
  var wanted: NetworkSettings?
  /// Numbers of the last settings that the present driver was given, and that it answered.
  private(set) var sent: UInt32 = 0
  private(set) var applied: UInt32 = 0
  /// Settings that the present driver was given and may still answer: their number, and the supervisor's for them.
  private var open: [(own: UInt32, supervisors: UInt32)] = []
  /// Counts that the present driver owes.
  private(set) var countsAsked = 0

  /// The next driver comes.
  mutating func begin() {
    self = PortState(wanted: wanted)
  }

  init(wanted: NetworkSettings? = nil) { self.wanted = wanted }

  /// - Parameter pairs: those that the driver was granted.
  mutating func announce(_ port: NetworkPort, pairs: Int) throws(ProxyRefusal) {
    guard self.port == nil else { throw ProxyRefusal(.unitInvalid, "a second port") }
    guard Int(port.queuePairs) <= pairs else {
      throw ProxyRefusal(.unitInvalid, "a port with \(port.queuePairs) queue pairs, \(pairs) were granted")
    }
    self.port = port
  }

  mutating func linkChanged(_ link: NetworkLink) { self.link = link }

  mutating func complete() throws(ProxyRefusal) {
    guard port != nil else { throw ProxyRefusal(.unitInvalid, "ready without a port") }
  }

  /// What the driver is to be told now: as the supervisor wants it, or at rest where it has not said anything yet. What is
  /// wanted may be older than the port, whose MTU it does not exceed: the supervisor lowers the interface's when it hears
  /// of the port.
  var nextSettings: NetworkSettings? {
    guard let port else { return nil }
    var settings = wanted ?? NetworkSettings(sequence: 0, isEnabled: false, address: port.address, mtu: 1500)
    settings.sequence = sent &+ 1
    settings.mtu = min(settings.mtu, port.maximumMTU)
    return settings
  }

  mutating func wasTold(_ settings: NetworkSettings) {
    sent = settings.sequence
    // Those that a driver does not answer for so long it passes over.
    if open.count == Self.openLimit { open.removeFirst() }
    open.append((sent, wanted?.sequence ?? 0))
  }

  private static var openLimit: Int { 32 }

  /// - Returns: the supervisor's number of the settings; 0: they were not the supervisor's, or it is too long ago.
  mutating func answered(_ sequence: UInt32) throws(ProxyRefusal) -> UInt32 {
    // Of several that come at once only the last is answered.
    guard sequence > applied, sequence <= sent else {
      throw ProxyRefusal(.illegalTransition, "settings \(sequence) answered, \(applied + 1) to \(sent) are open")
    }
    applied = sequence
    let number = open.first { $0.own == sequence }?.supervisors
    open.removeAll { $0.own <= sequence }
    return number ?? 0
  }

  mutating func wasAsked() { countsAsked += 1 }

  mutating func counted() throws(ProxyRefusal) {
    guard countsAsked > 0 else { throw ProxyRefusal(.illegalTransition, "statistics that nobody asked for") }
    countsAsked -= 1
  }
}
