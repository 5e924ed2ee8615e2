import Netlink
import PCI
import Platform

/// PCI functions that come and go, from the kernel's uevents.
final class UeventFeed {
  enum News: Equatable {
    case added(PCIAddress)
    case removed(PCIAddress)
    /// Somebody wants it looked at: `udevadm trigger`.
    case changed(PCIAddress)
    /// Some were lost: look at everything.
    case lost
  }

  private let socket: UeventSocket
  private let loop: EventLoop
  private var token: EventLoop.Token?

  /// - Throws: ``Failure`` `uevent-socket`.
  init(loop: EventLoop, handler: @escaping (News) -> Void) throws(Failure) {
    socket = try UeventSocket()
    self.loop = loop
    token = loop.watch(socket.file) { [weak self] _ in self?.receive(handler) }
  }

  deinit {
    if let token { loop.remove(token) }
  }

  private func receive(_ handler: (News) -> Void) {
    // Bounded: a storm of events must not starve the rest.
    for _ in 0..<64 {
      do throws(Failure) {
        guard let event = try socket.receive() else { return }
        if let news = UeventFeed.news(of: event) { handler(news) }
      } catch {
        handler(.lost)
        return
      }
    }
  }

  static func news(of event: Uevent) -> News? {
    guard event.subsystem == "pci", let last = event.devpath.split(separator: "/").last,
      let address = PCIAddress(String(last))
    else { return nil }
    switch event.action {
    case "add": return .added(address)
    case "remove": return .removed(address)
    case "change": return .changed(address)
    default: return nil
    }
  }
}
