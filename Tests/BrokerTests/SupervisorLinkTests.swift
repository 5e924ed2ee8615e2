import Platform
import Protocol
import Testing

@testable import Broker

@Suite struct SupervisorLinkTests {
  /// A driver whose link never rests fills the socket; what the broker says of it comes through all the same, and the last
  /// state of the link with it.
  @Test func aFloodOfLinksHidesNothing() throws {
    let (near, far) = try PacketSocket.pair()
    let supervisor = ControlChannel<BrokerCommand, BrokerEvent>(socket: far)
    let loop = EventLoop()
    let link = SupervisorLink(socket: near, loop: loop)
    link.watch {}
    defer { for socket in [near, far] { Descriptor.close(socket) } }
    let up = NetworkLink(isUp: true, speed: 1000, isFullDuplex: true)
    for turn in 0..<5000 { link.send(.networkLink(turn % 2 == 0 ? up : .down), generation: 1) }
    link.send(.driverLost(.violation), generation: 1)
    link.send(.networkLink(up), generation: 1)
    var events: [BrokerEvent] = []
    for _ in 0..<10 {
      while case .message(let envelope, _) = try supervisor.receive() { events.append(envelope.message) }
      link.flush()
    }
    #expect(events.suffix(3) == [.networkLink(.down), .driverLost(.violation), .networkLink(up)])
    #expect(events.count > 3)
  }
}
