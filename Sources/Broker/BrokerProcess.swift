import CBulkhead
import Glibc
import Jail
import Platform
import Protocol
import VFIO

/// A broker from its first instruction to its last. All that needs privilege happens before the first driver exists.
public enum BrokerProcess {
  /// Serves until the supervisor says otherwise. Returns the exit status.
  /// - Parameters:
  ///   - openDevice: how this executable reaches devices; called once.
  ///   - makeProxy: called once, after `openDevice`.
  public static func run(
    openDevice: (BrokerDeviceContext) throws(Failure) -> BrokerDevice,
    makeProxy: (ProxyContext) throws(Failure) -> any Proxy
  ) -> Int32 {
    _ = bh_ignore_sigpipe()
    Log.neverWait()
    let loop = EventLoop()
    let link = SupervisorLink(socket: SupervisorLink.file, loop: loop)
    do throws(Failure) {
      let setup = try Setup(link: link, loop: loop, openDevice: openDevice, makeProxy: makeProxy)
      try setup.confine()
      setup.session.start()
      try loop.run()
      return setup.session.exitStatus ?? 0
    } catch {
      Log.error("\(error)")
      link.send(BrokerEvent(error))
      link.flush()
      return 1
    }
  }

  /// What is opened before the confinement and kept.
  private final class Setup {
    let configuration: BrokerConfiguration
    let device: BrokerDevice
    /// Nil where the class has no payload.
    let payload: SharedMemory?
    let rules: [SeccompRule]
    let session: BrokerSession

    init(
      link: SupervisorLink, loop: EventLoop, openDevice: (BrokerDeviceContext) throws(Failure) -> BrokerDevice,
      makeProxy: (ProxyContext) throws(Failure) -> any Proxy
    ) throws(Failure) {
      let (command, files) = try link.first()
      guard case .configure(let configuration) = command, files.count == configuration.fileCount else {
        throw Failure(
          "broker-command", "begin with \(command.kind) and \(files.count) files instead of a configuration")
      }
      self.configuration = configuration
      device = try openDevice(
        BrokerDeviceContext(
          configuration: configuration, loop: loop, medium: configuration.emulation.isEmpty ? nil : files.last))
      let backing = device.backing
      var memory = UnsafeMutableRawBufferPointer(start: nil, count: 0)
      var payloadFile: Int32?
      if configuration.payloadSize > 0 {
        let payload = try Self.makePayload(backing, size: Int(configuration.payloadSize))
        memory = UnsafeMutableRawBufferPointer(start: payload.mapping.base, count: payload.mapping.length)
        payloadFile = payload.file.number
        self.payload = consume payload
      } else {
        payload = nil
      }
      var rest = files[...]
      let proxy = try makeProxy(
        ProxyContext(
          configuration: configuration, loop: loop,
          payload: memory,
          listener: configuration.hasListener ? rest.popFirst() : nil,
          outlet: Array(rest.prefix(configuration.network?.fileCount ?? 0))))
      session = try BrokerSession(
        configuration, backing: backing, payloadFile: payloadFile, proxy: proxy, link: link, loop: loop,
        interrupts: device.interrupts)
      rules = device.rules + proxy.rules
      try device.settle()
    }

    /// Memory between outlet and device.
    private static func makePayload(_ backing: any DeviceBacking, size: Int) throws(Failure) -> SharedMemory {
      let payload = try SharedMemory(name: "bulkhead-payload", size: size)
      try backing.mapArena(
        ArenaMapping(
          iova: AddressMap.payload, file: payload.file.number, base: payload.mapping.base,
          size: UInt64(payload.mapping.length)))
      return payload
    }

    /// Gives up everything but the open files.
    func confine() throws(Failure) {
      let policy = SeccompPolicy.broker(rules)
      var confinement =
        configuration.isPrivileged
        ? Confinement(user: configuration.uid, group: configuration.uid, policy: policy)
        : Confinement(unprivileged: policy)
      confinement.namespaces = [.mount, .ipc, .uts, .network]
      if !configuration.isPrivileged { confinement.namespaces.formUnion([.user, .cgroup]) }
      try confinement.enter()
    }
  }
}
