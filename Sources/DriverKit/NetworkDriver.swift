import Glibc

/// A driver of the network class: one port, its frames, and what an administrator sets on the interface.
///
/// The rules are those of ``BlockDriver``: one thread, no callback blocks, a callback that throws ends the process. Frames
/// under way are lost then, as a network may lose them; the interface stays.
///
/// In `main.swift`: `NetworkDriverMain.run(MyDriver.self)`.
public protocol NetworkDriver: AnyObject {
  /// At most 32 bytes, as in the manifest.
  static var name: String { get }
  /// At most 32 bytes.
  static var version: String { get }

  /// Takes what the driver needs of the device; the device is not to be touched yet.
  init(device: Device, options: Options) throws(DriverFailure)

  /// Brings the device up, as far as that goes without settings, and says what it is. No frame is taken yet.
  func start() throws(DriverFailure) -> NetworkPort

  /// The link as it is now. Changes are told with ``Device/reportLink(_:)``.
  func link() throws(DriverFailure) -> NetworkLink

  /// Makes the port as it has to be; called before the first frame, and again with all settings when one changes.
  /// - Returns: 0, or the errno for which the settings cannot be; they are as before then.
  func apply(_ settings: NetworkSettings) throws(DriverFailure) -> Int32

  /// What was counted since ``start()``.
  func statistics() throws(DriverFailure) -> NetworkStatistics

  /// Looks for what the device has finished: frames that came, frames that are sent. Called in every round of the loop,
  /// so it should look at memory and not at registers.
  /// - Returns: whether there was anything.
  func poll() throws(DriverFailure) -> Bool

  /// The device has signalled `vector`. Frames are found by ``poll()``, which follows; this is for everything else.
  func interrupt(_ vector: Int) throws(DriverFailure)

  /// Takes from `queue` what the outlet gave: outbound, frames for the wire; inbound, buffers it has read. Also called
  /// without a wake.
  /// - Returns: whether there was anything.
  func queueReady(_ queue: NetworkQueue) throws(DriverFailure) -> Bool

  /// The loop has found nothing and is about to sleep: from now on the device must interrupt for what is new. The loop
  /// looks everywhere once more before it sleeps.
  func armInterrupts() throws(DriverFailure)

  /// A timer that was set with ``Device/setTimer(_:after:every:)`` is due.
  func timer(_ index: Int) throws(DriverFailure)

  /// Shuts the device down.
  func stop() throws(DriverFailure)
}

extension NetworkDriver {
  public func interrupt(_ vector: Int) throws(DriverFailure) {}
  public func armInterrupts() throws(DriverFailure) {}
  public func timer(_ index: Int) throws(DriverFailure) {}
  public func stop() throws(DriverFailure) {}
}

/// The whole life of a driver process.
public enum NetworkDriverMain {
  /// Runs `Driver` in this process, as ``BlockDriverMain`` does for its class.
  public static func run<Driver: NetworkDriver>(_: Driver.Type) -> Never {
    let conversation = NetworkConversationRunner<Driver>(
      control: ControlPort(socket: DriverFile.control), options: .ofProcess())
    _exit(conversation.run(makeDevice: Device.ofProcess))
  }
}
