import Netlink
import Platform

/// The interface's files outlive the supervisor where systemd keeps them: so an interface is found again that was moved
/// to another network namespace, where no record leads to it.
extension NetworkOutlet {
  /// The interface whose files systemd has kept; nil where there are none, or they are of no use any more.
  func keptInterface(_ wish: NetworkInterface.Wish) -> NetworkInterface? {
    let kept = session.host.files.take(.tap, of: session.address)
    guard !kept.isEmpty else { return nil }
    guard var record = session.record.interface, record.configuredName == wish.name.description,
      record.namespace == wish.namespace
    else {
      for (name, file) in kept {
        FileStore.prepareToClose(name, file)
        Descriptor.close(file)
      }
      forgetFiles(because: "")
      session.log.info("the configuration wants another interface than the one that systemd has kept")
      return nil
    }
    for (name, _) in kept.dropFirst(wish.queuePairs) { session.host.files.forget(name) }
    do throws(Failure) {
      let interface = try NetworkInterface.kept(
        kept.map(\.file), queuePairs: wish.queuePairs, namespace: wish.namespace)
      session.log.info("found again by the files that systemd has kept: \(interface.tap.name)")
      if interface.isMoved {
        sayWhereItIs(interface)
      } else {
        // Where it was away meanwhile, it has another number.
        (record.name, record.index) = (interface.tap.name, interface.index)
        session.record.interface = record
        try session.host.state.save(session.record)
      }
      return interface
    } catch {
      forgetFiles(because: "")
      session.log.warning("of no use: the files that systemd has kept: \(error.oneLine)")
      return nil
    }
  }

  /// Has systemd keep the files of all queues.
  func keepFiles() {
    for (number, queue) in (interface?.tap.queues ?? []).enumerated() {
      session.host.files.keep(queue.file, as: StoredFile(.tap, of: session.address, number))
    }
  }

  func forgetFiles(because reason: String) {
    session.host.files.forgetAll(of: session.address, .tap, because: reason)
  }

  func sayWhereItIs(_ interface: NetworkInterface) {
    let name = interface.tap.name
    guard interface.isMoved else { return say("\(name) is back in the network namespace that it was made in") }
    let limit = session.host.files.isThere ? "" : "; there it does not survive bulkheadd"
    say("\(name) is in another network namespace than the one that it was made in\(limit)")
  }
}
