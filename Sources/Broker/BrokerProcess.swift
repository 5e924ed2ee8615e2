import CBulkhead
import Glibc
import Jail
import Platform
import Protocol
import VFIO

/// A broker from its first instruction to its last. All that needs privilege happens before the first driver exists.
public enum BrokerProcess {
  /// Serves until the supervisor says otherwise. Returns the exit status.
  public static func run(makeProxy: (ProxyContext) throws(Failure) -> any Proxy) -> Int32 {
    _ = bh_ignore_sigpipe()
    Log.neverWait()
    let loop = EventLoop()
    let link = SupervisorLink(socket: SupervisorLink.file, loop: loop)
    do throws(Failure) {
      let setup = try Setup(link: link, loop: loop, makeProxy: makeProxy)
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

  /// What is opened as root and kept.
  private final class Setup {
    let configuration: BrokerConfiguration
    let backing: VFIOBacking
    let payload: SharedMemory
    let session: BrokerSession
    let interruptWatch: InterruptWatch?

    init(
      link: SupervisorLink, loop: EventLoop, makeProxy: (ProxyContext) throws(Failure) -> any Proxy
    ) throws(Failure) {
      let (command, files) = try link.first()
      guard case .configure(let configuration) = command, files.count <= 1 else {
        throw Failure(
          "broker-command", "begin with \(command.kind) and \(files.count) files instead of a configuration")
      }
      self.configuration = configuration
      // Memory that block I/O needs must not wait for block I/O.
      try checked(bh_set_io_flusher(), "broker-flusher", "become safe under memory reclaim", hint: "start as root")
      try checked(bh_unlimit_locked_memory(), "broker-memory", "raise RLIMIT_MEMLOCK", hint: "start as root")
      backing = try VFIOBacking(address: configuration.address, groupNumber: Int(configuration.group))
      try Self.checkWindows(backing, configuration)
      let payload = try SharedMemory(name: "bulkhead-payload", size: Int(configuration.payloadSize))
      try backing.mapArena(
        ArenaMapping(
          iova: AddressMap.payload, file: payload.file.number, base: payload.mapping.base,
          size: UInt64(payload.mapping.length)))
      let memory = UnsafeMutableRawBufferPointer(start: payload.mapping.base, count: payload.mapping.length)
      let proxy = try makeProxy(
        ProxyContext(configuration: configuration, loop: loop, payload: memory, listener: files.first))
      interruptWatch = InterruptWatch(address: configuration.address, vectors: Int(configuration.interrupts))
      if interruptWatch == nil { Log.warning("/proc/interrupts cannot be read: interrupts are not watched") }
      session = try BrokerSession(
        configuration, backing: backing, payloadFile: payload.file.number, proxy: proxy, link: link, loop: loop,
        interruptWatch: interruptWatch)
      self.payload = payload
      try checked(bh_lock_memory(), "broker-memory", "lock memory", hint: "start as root")
    }

    /// Whether the IOMMU can map where the memory has to be; said now, not when the first driver comes.
    private static func checkWindows(_ backing: VFIOBacking, _ configuration: BrokerConfiguration) throws(Failure) {
      let info = try backing.container.info()
      for (name, iova, size) in [
        ("arena", AddressMap.arena, configuration.arenaSize),
        ("payload", AddressMap.payload, configuration.payloadSize),
      ] where !info.contains(iova: iova, size: UInt64(roundedToPages(Int(size)))) {
        throw Failure(
          "broker-iova", "place the \(name) at IOVA 0x\(String(iova, radix: 16)), \(size) bytes",
          hint: "the IOMMU reserves some of it; ranges: \(info.ranges)")
      }
    }

    /// Gives up everything but the open files.
    func confine() throws(Failure) {
      let files = BrokerFiles(
        container: backing.container.file, device: backing.deviceFile, interrupts: interruptWatch?.number)
      var confinement = Confinement(user: configuration.uid, group: configuration.uid, policy: .broker(files))
      confinement.namespaces = [.mount, .ipc, .uts, .network]
      try confinement.enter()
    }
  }
}
