import Platform
import Protocol

/// One driver: its world, its control socket, and how far the conversation has come.
final class DriverSession {
  /// Counts the drivers of this device; the supervisor's number.
  let generation: UInt32
  let channel: ControlChannel<BrokerMessage, DriverMessage>
  let world: DriverWorld
  var monitor = Monitor(DriverConversation.machine)
  var heartbeat: Heartbeat
  var rate = MessageRate()
  /// Nothing that it says counts any more; it waits for its end.
  var isLost = false
  var socketToken: EventLoop.Token?
  /// The start timeout at first, the heartbeat later.
  var timer: EventLoop.Token?
  /// Looks for storms where there is no heartbeat to do so: before it serves, and while it stops.
  var watchTimer: EventLoop.Token?
  /// Whether the control socket is read as soon as there is something (see ``BrokerSession/beat()``).
  var isListening = true
  var heardMore = false

  init(generation: UInt32, socket: Int32, world: DriverWorld, heartbeatTimeout: Nanoseconds) {
    self.generation = generation
    self.world = world
    channel = ControlChannel(socket: socket)
    heartbeat = Heartbeat(timeout: heartbeatTimeout)
  }

  /// A driver learns its generation from the grant; what it says before that is of generation 0.
  var knowsNoGeneration: Bool { monitor.state == .launched || monitor.state == .greeted }

  deinit { Descriptor.close(channel.socket) }

  /// Whether the conversation permits the message now.
  func permits(_ message: BrokerMessage) -> Bool {
    monitor.machine.next(monitor.state, .broker(message.kind)) != nil
  }

  /// Sends a message that the conversation permits now.
  /// - Throws: `control-send`; EAGAIN when the driver does not read.
  func send(_ message: BrokerMessage) throws(Failure) {
    try channel.send(message, generation: generation)
    let permitted = monitor.advance(.broker(message.kind))
    precondition(permitted, "the broker sent \(message.kind) in \(monitor.state)")
  }
}
