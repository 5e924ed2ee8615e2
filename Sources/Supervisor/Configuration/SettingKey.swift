import Protocol

/// A key of the configuration, and how to say its value in TOML.
struct SettingKey {
  var name: String
  /// Nil: of every device.
  var deviceClass: DeviceClass?
  /// Nil: not set.
  var value: (DeviceSettings) -> String?

  private init(_ name: String, _ deviceClass: DeviceClass? = nil, _ value: @escaping (DeviceSettings) -> String?) {
    self.name = name
    self.deviceClass = deviceClass
    self.value = value
  }

  /// All that `[defaults]` or an entry may say beside which device is meant, by which driver, and its options, in the order
  /// of docs/configure.md.
  static var all: [SettingKey] { base + block + network + limits + restart + watching }

  private static var base: [SettingKey] {
    [
      SettingKey("start") { quoted($0.start.rawValue) },
      SettingKey("force") { "\($0.force)" },
    ]
  }

  private static var block: [SettingKey] {
    [
      SettingKey("outlet.kernel", .block) {
        switch $0.outlet.kernelOutlet {
        case .required: "true"
        case .never: "false"
        case .ifPresent: quoted("auto")
        }
      },
      SettingKey("outlet.connections", .block) { "\($0.outlet.connections)" },
      SettingKey("outlet.socket", .block) { "\($0.outlet.socket)" },
      SettingKey("outlet.namespaces", .block) { quoted($0.outlet.namespaces.rawValue) },
      SettingKey("outlet.read-only", .block) { "\($0.outlet.readOnly)" },
    ]
  }

  private static var network: [SettingKey] {
    [
      SettingKey("outlet.interface", .network) { $0.outlet.interface.name.map(quoted) },
      SettingKey("outlet.mac", .network) { $0.outlet.interface.address.map { quoted("\($0)") } },
      SettingKey("outlet.mtu", .network) { "\($0.outlet.interface.mtu ?? 1500)" },
      SettingKey("outlet.namespace", .network) { $0.outlet.interface.namespace.map(quoted) },
      SettingKey("outlet.master", .network) { $0.outlet.interface.master.map(quoted) },
      SettingKey("outlet.datapath", .network) { quoted($0.outlet.interface.datapath.rawValue) },
      SettingKey("outlet.busy-poll", .network) { $0.outlet.interface.busyPoll.map(duration) },
    ]
  }

  private static var limits: [SettingKey] {
    [
      SettingKey("limits.memory") { bytes($0.limits.memory) },
      SettingKey("limits.pids") { "\($0.limits.pids)" },
      SettingKey("limits.cpu") { $0.limits.cpu.map { quoted("\($0)%") } },
      SettingKey("limits.arena") { $0.limits.arena.map(bytes) },
      SettingKey("limits.payload", .block) { bytes($0.limits.payload) },
      SettingKey("limits.queues") { $0.limits.queues.map(String.init) },
      SettingKey("limits.queue-size") { $0.limits.queueSize.map(String.init) },
      SettingKey("limits.spin") { $0.limits.spin.map(duration) },
      SettingKey("limits.interrupt-rate") { "\($0.limits.interruptRate)" },
    ]
  }

  private static var restart: [SettingKey] {
    [
      SettingKey("restart.policy") { quoted($0.restart.policy.rawValue) },
      SettingKey("restart.delay") { duration($0.restart.delay) },
      SettingKey("restart.max-delay") { duration($0.restart.maximumDelay) },
      SettingKey("restart.burst") { "\($0.restart.burst)" },
      SettingKey("restart.interval") { duration($0.restart.interval) },
    ]
  }

  private static var watching: [SettingKey] {
    [
      SettingKey("heartbeat.interval") { duration($0.heartbeat.interval) },
      SettingKey("heartbeat.timeout") { duration($0.heartbeat.timeout) },
      SettingKey("heartbeat.start") { duration($0.heartbeat.start) },
      SettingKey("violations.tolerate") { "\($0.violations.tolerate)" },
      SettingKey("violations.then") { quoted($0.violations.then.rawValue) },
      SettingKey("violations.dma-fault") { quoted($0.violations.dmaFault.rawValue) },
    ]
  }

  static func duration(_ value: Int64) -> String { quoted(Quantity.text(duration: value)) }

  private static func bytes(_ value: Int) -> String { quoted(Quantity.text(bytes: value)) }

  /// A basic string of TOML 1.0.
  static func quoted(_ text: String) -> String {
    var quoted = "\""
    for scalar in text.unicodeScalars {
      switch scalar {
      case "\"", "\\": quoted += "\\\(scalar)"
      case "\u{0}"..<" ", "\u{7f}":
        let digits = String(scalar.value, radix: 16)
        quoted += "\\u" + String(repeating: "0", count: 4 - digits.count) + digits
      default: quoted.unicodeScalars.append(scalar)
      }
    }
    return quoted + "\""
  }
}
