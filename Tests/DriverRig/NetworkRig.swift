import CCounting
import DriverKit
import Platform

/// What a rig needs of a fake NIC.
public protocol FakeNetworkDevice: AnyObject {
  /// Signals of the vectors.
  var vectors: [Int32] { get set }
  /// Whether a test counts allocations: the driver's count, the fake's do not.
  var isCounting: Bool { get }
}

/// A driver of the network class between a fake NIC and an outlet, all on the test's thread.
open class NetworkRig<Driver: NetworkDriver, Fake: FakeNetworkDevice> {
  public typealias Frame = NetworkOutlet.Frame

  public let fake: Fake
  public let driver: Driver
  public let interrupts: [Int32]
  public private(set) var port: NetworkPort?
  private let outlet: NetworkOutlet
  private let address: HardwareAddress
  private var sequence: UInt32 = 0

  public var arena: FakeMemory { outlet.arena }
  public var device: Device { outlet.device }

  /// - Parameters:
  ///   - address: what settings give the port.
  ///   - bars: by number.
  ///   - prepare: of the fake, before the driver sees it.
  public init(
    grant: DeviceGrant, arena: FakeMemory, fake: Fake, address: HardwareAddress, bars: [Bar?],
    prepare: (Fake) -> Void, driver make: (Device) throws -> Driver
  ) throws {
    self.fake = fake
    self.address = address
    interrupts = try (0..<grant.interrupts).map { _ in try EventDescriptor.make().release() }
    fake.vectors = interrupts
    prepare(fake)
    outlet = try NetworkOutlet(driver: Driver.self, grant: grant, arena: arena, bars: bars, interrupts: interrupts)
    driver = try make(outlet.device)
  }

  deinit { interrupts.forEach(Descriptor.close) }

  /// Starts the driver and gives it settings.
  @discardableResult
  public func start(mtu: UInt16 = 1500) throws -> Self {
    port = try driver.start()
    _ = try driver.link()
    try apply { $0.mtu = mtu }
    try run()
    return self
  }

  @discardableResult
  public func apply(_ change: (inout NetworkSettings) -> Void = { _ in }) throws -> Int32 {
    sequence += 1
    var settings = NetworkSettings(sequence: sequence, isEnabled: true, address: address, mtu: 1500)
    change(&settings)
    return try driver.apply(settings)
  }

  /// Rounds of the driver until it finds nothing.
  public func run() throws {
    for _ in 0..<10_000 {
      if fake.isCounting { counting_resume() }
      var worked = try driver.poll()
      for queue in device.networkQueues where try driver.queueReady(queue) { worked = true }
      for queue in device.networkQueues { queue.flush() }
      if fake.isCounting { counting_pause() }
      if !worked { return }
    }
    throw DriverFailure(.timeout, "the driver finds work without end")
  }

  /// See ``NetworkOutlet/give(_:header:length:)``.
  @discardableResult
  public func give(
    _ bytes: [UInt8], header: [UInt8] = [UInt8](repeating: 0, count: 12), length: Int? = nil
  ) throws -> Bool {
    try outlet.give(bytes, header: header, length: length)
  }

  /// Takes what the driver has for the outlet, and gives the buffers back.
  public func taken() throws -> [Frame] {
    var frames: [Frame] = []
    while let frame = try outlet.next() { frames.append(frame) }
    return frames
  }

  /// What the driver has said to the broker.
  public func heard() throws -> [DriverMessage] { try outlet.heard() }

  /// The code of the failure that `body` ends in.
  public static func code(_ body: () throws -> Void) -> FailureCode? {
    do { try body() } catch let failure as DriverFailure { return failure.code } catch {}
    return nil
  }
}
