import Netlink
import Platform
import Protocol
import TAP

extension DeviceSettings {
  private static let hour: Nanoseconds = 3_600_000_000_000
  private static let millisecond: Nanoseconds = 1_000_000

  /// Changes what `reader` has keys for; used for `[defaults]` and then for each device.
  mutating func apply(_ reader: TableReader) {
    if let (text, node) = reader.string("driver", must: "the name of a driver, \"auto\", \"none\" or \"kernel\"") {
      driverLocation = node.location
      switch text {
      case "auto": driver = .automatic
      case "none": driver = Driver.none
      case "kernel": driver = .kernel
      default: driver = .named(text)
      }
    }
    set(&start, reader.choice("start", Start.self))
    set(&force, reader.boolean("force"))
    if let table = reader.table("outlet") { outlet.apply(table) }
    if let table = reader.table("limits") { limits.apply(table) }
    if let table = reader.table("restart") { restart.apply(table) }
    if let table = reader.table("heartbeat") { heartbeat.apply(table) }
    if let table = reader.table("violations") { violations.apply(table) }
    if let table = reader.table("options") { apply(options: table) }
  }

  private mutating func apply(options table: TableReader) {
    for (key, node) in table.everything() {
      let value: String
      switch node.value {
      case .string(let text): value = text
      case .integer(let number): value = "\(number)"
      case .boolean(let flag): value = "\(flag)"
      default:
        table.complain(key, node, must: "a text, a whole number, true or false")
        continue
      }
      guard key.utf8.count + value.utf8.count < 200, !value.utf8.contains(where: { $0 < 0x20 }) else {
        table.complain(key, node, must: "a printable text of less than 200 bytes")
        continue
      }
      options.removeAll { $0.name == key }
      options.append(Option(name: key, value: value, location: node.key))
    }
  }

  fileprivate static var delays: ClosedRange<Nanoseconds> { 0...hour }
  fileprivate static var periods: ClosedRange<Nanoseconds> { millisecond...hour }
}

private func set<Value>(_ target: inout Value, _ value: Value?) {
  if let value { target = value }
}

/// The same for what may stay unset: without this one, a nil that was read would itself count as a value.
private func set<Value>(_ target: inout Value?, _ value: Value?) {
  if let value { target = value }
}

extension DeviceSettings.Outlet {
  fileprivate mutating func apply(_ reader: TableReader) {
    if let node = reader.node("kernel") {
      switch node.value {
      case .boolean(let flag): kernel = flag ? .required : .never
      case .string("auto"): kernel = .ifPresent
      default: reader.complain("kernel", node, must: "true, false or \"auto\"")
      }
    }
    set(&connections, reader.integer("connections", in: 1...16))
    set(&socket, reader.boolean("socket"))
    set(&namespaces, reader.choice("namespaces", Namespaces.self))
    set(&readOnly, reader.boolean("read-only"))
    interface.apply(reader)
    check(reader.location, reader.log)
    reader.finish()
  }

  /// Whether there is an outlet at all.
  func check(_ location: SourceLocation, _ log: IssueLog) {
    guard kernel == .never, !socket else { return }
    log.add(
      location, "the outlet has neither a kernel block device nor a socket",
      hint: "set kernel or socket to true, or start = \"manual\" to leave the device alone")
  }
}

extension DeviceSettings.Interface {
  /// Reads the keys of the table `outlet` that are a network device's.
  fileprivate mutating func apply(_ reader: TableReader) {
    if let name = interfaceName("interface", reader) { self.name = name }
    if let name = interfaceName("master", reader) { master = name }
    if let name = reader.parsed(
      "namespace", must: "the name of a network namespace", hint: "ip netns list shows them",
      {
        $0.isEmpty || $0 == "." || $0 == ".." || $0.utf8.contains(where: { $0 == UInt8(ascii: "/") || $0 < 0x21 })
          ? nil : $0
      })
    {
      namespace = name
    }
    if let address = reader.parsed(
      "mac", must: "an Ethernet address such as \"52:54:00:12:34:56\"", hint: "not a group's: its first octet is even",
      { HardwareAddress($0).flatMap { $0.isUsable ? $0 : nil } })
    {
      self.address = address
    }
    if let size = reader.integer("mtu", in: NetworkClass.minimumMTU...NetworkClass.maximumMTU) { mtu = size }
    set(&datapath, reader.choice("datapath", Datapath.self))
    set(
      &busyPoll,
      reader.duration("busy-poll", in: 0...100_000_000, hint: "write it as \"50us\" or \"1ms\", at most 100ms"))
  }

  private func interfaceName(_ key: String, _ reader: TableReader) -> String? {
    guard let (text, node) = reader.string(key, must: "the name of an interface") else { return nil }
    do throws(Failure) { return try InterfaceName(text).description } catch {
      reader.log.add(node.location, "\"\(key)\" in outlet: cannot \(error.step)", hint: error.hint)
      return nil
    }
  }
}

extension DeviceSettings.Limits {
  fileprivate mutating func apply(_ reader: TableReader) {
    set(&memory, reader.bytes("memory", in: (4 << 20)...(1 << 40)))
    set(&pids, reader.integer("pids", in: 1...4096))
    set(
      &cpu,
      reader.parsed(
        "cpu", must: "a percentage of one processor", hint: "write it as \"50%\"; \"200%\" is two processors",
        Quantity.percent))
    set(&arena, reader.bytes("arena", in: 4096...AddressMap.maximumArena))
    set(&payload, reader.bytes("payload", in: (1 << 20)...AddressMap.maximumPayload))
    set(&queues, reader.integer("queues", in: 1...DriverFile.maximumQueues))
    set(&queueSize, reader.powerOfTwo("queue-size", in: BrokerConfiguration.queueSizes))
    set(
      &spin,
      reader.duration("spin", in: 0...1_000_000_000, hint: "write it as \"50us\" or \"1ms\", at most a second"))
    set(&interruptRate, reader.integer("interrupt-rate", in: 0...1_000_000_000))
    reader.finish()
  }
}

extension DeviceSettings.Restart {
  fileprivate mutating func apply(_ reader: TableReader) {
    set(&policy, reader.choice("policy", Policy.self))
    set(&delay, reader.duration("delay", in: DeviceSettings.delays))
    set(&maximumDelay, reader.duration("max-delay", in: DeviceSettings.delays))
    set(&burst, reader.integer("burst", in: 0...1_000_000))
    set(&interval, reader.duration("interval", in: DeviceSettings.periods))
    if maximumDelay < delay {
      if reader.has("max-delay") {
        reader.log.add(
          reader.location, "\"max-delay\" in restart is less than \"delay\"",
          hint: "the delay doubles from restart to restart, up to max-delay")
      } else {
        maximumDelay = delay
      }
    }
    reader.finish()
  }
}

extension DeviceSettings.Heartbeat {
  fileprivate mutating func apply(_ reader: TableReader) {
    set(&interval, reader.duration("interval", in: DeviceSettings.periods))
    set(&timeout, reader.duration("timeout", in: DeviceSettings.periods))
    set(&start, reader.duration("start", in: DeviceSettings.periods))
    if timeout < interval {
      reader.log.add(
        reader.location, "\"timeout\" in heartbeat is less than \"interval\"",
        hint: "a driver answers once an interval: give it several")
    }
    reader.finish()
  }
}

extension DeviceSettings.Violations {
  fileprivate mutating func apply(_ reader: TableReader) {
    set(&tolerate, reader.integer("tolerate", in: 0...1_000_000))
    set(&then, reader.choice("then", Consequence.self))
    set(&dmaFault, reader.choice("dma-fault", Consequence.self))
    reader.finish()
  }
}
