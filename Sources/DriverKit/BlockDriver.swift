import Glibc

/// A driver of the block class. Isolation, restart and replay of requests, heartbeats and the outlet come with it.
///
/// All callbacks run on one thread, one after the other, and must not block; the waits of ``Device`` may be used, since
/// they answer heartbeats. A callback that throws ends the process, and the supervisor decides what follows.
///
/// In `main.swift`: `BlockDriverMain.run(MyDriver.self)`.
public protocol BlockDriver: AnyObject {
  /// At most 32 bytes, as in the manifest.
  static var name: String { get }
  /// At most 32 bytes.
  static var version: String { get }

  /// Takes what the driver needs of the device; the device is not to be touched yet.
  init(device: Device, options: Options) throws(DriverFailure)

  /// Brings the device up and says which units it has.
  func start() throws(DriverFailure) -> [BlockUnit]

  /// Looks for what the device has finished. Called for an interrupt on `vector`, and also without one, where the loop
  /// polls.
  /// - Returns: whether there was anything.
  func interrupt(_ vector: Int) throws(DriverFailure) -> Bool

  /// Takes requests from `queue` and gives them to the device, as many as there is room for. Also called without a
  /// kick.
  /// - Returns: whether there was any.
  func queueReady(_ queue: BlockQueue) throws(DriverFailure) -> Bool

  /// A timer that was set with ``Device/setTimer(_:after:every:)`` is due.
  func timer(_ index: Int) throws(DriverFailure)

  /// Finishes what is under way and shuts the device down.
  func stop() throws(DriverFailure)
}

extension BlockDriver {
  public func timer(_ index: Int) throws(DriverFailure) {}
  public func stop() throws(DriverFailure) {}
}

/// The whole life of a driver process.
public enum BlockDriverMain {
  /// Runs `Driver` in this process, from the first word to the broker to the last. The process ends with status 0 when
  /// it was asked to stop or the broker is gone, and with 1 when the driver gave up.
  public static func run<Driver: BlockDriver>(_: Driver.Type) -> Never {
    let conversation = DriverConversationRunner<Driver>(
      control: ControlPort(socket: DriverFile.control), options: .ofProcess())
    _exit(conversation.run(makeDevice: Device.ofProcess))
  }
}
