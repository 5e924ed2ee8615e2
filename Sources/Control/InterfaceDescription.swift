/// The text of `io.bulkhead.varlink`, as `GetInterfaceDescription` gives it. A test compares the two.
public let interfaceDescription = #"""
  # Bulkhead: PCI device drivers outside the kernel, each in a process of its own.
  #
  # Devices are named by their full address ("0000:01:00.0"), their short one ("01:00.0", in domain 0) or the name that
  # the configuration gives them. Times are seconds since 1970. Every error carries a message, and a hint where there is
  # something to do. Whoever can open the socket may read; Start, Stop, Restart, Attach, Detach and ResetFailed are for
  # uid 0 and for the user that runs the daemon.
  interface io.bulkhead

  # One part of a block device (an NVMe namespace) and where it can be used.
  type Unit (
    index: int,
    identifier: int,
    name: string,
    export: string,
    size: int,
    blockSize: int,
    readOnly: bool,
    model: string,
    serial: string,
    kernelDevice: ?string,
    link: ?string
  )

  # What the kernel has counted at an interface, as "ip -s link" shows it.
  type InterfaceStatistics (
    receivedPackets: int,
    receivedBytes: int,
    receiveErrors: int,
    receiveDropped: int,
    sentPackets: int,
    sentBytes: int,
    sendErrors: int,
    sendDropped: int
  )

  # The interface of a network device. "datapath" says who moves the frames: "vhost" (the kernel) or "broker"; null: nobody
  # now. "namespace" is where it is, as "ip netns" calls it, or "net:[INODE]" where it has no name there; null: that of the daemon.
  type Interface (
    name: string,
    index: int,
    namespace: ?string,
    master: ?string,
    address: string,
    mtu: int,
    up: bool,
    carrier: bool,
    promiscuous: bool,
    allMulticast: bool,
    multicast: []string,
    queuePairs: int,
    datapath: ?string,
    statistics: InterfaceStatistics
  )

  type PortSettings (
    enabled: bool,
    address: string,
    mtu: int,
    promiscuous: bool,
    allMulticast: bool,
    multicast: []string
  )

  # What the driver says of the NIC. "speed" is in Mbit/s, 0: not known; "settings" are those that it was brought to last, and
  # "settingsError" says why it could not be brought to those of the interface; "counters" are by name.
  type Port (
    model: string,
    firmware: string,
    address: string,
    maximumMTU: int,
    offloads: []string,
    queuePairs: int,
    up: bool,
    speed: int,
    fullDuplex: bool,
    settings: ?PortSettings,
    settingsError: ?string,
    counters: [string]int
  )

  # Where the rest of the machine uses a device: "units" of a block device, the "interface" of a network device. "socket"
  # speaks NBD; a unit's "export" is its name there, and the first one is also meant by no name.
  type Outlet (
    socket: ?string,
    units: []Unit,
    interface: ?Interface,
    port: ?Port
  )

  # What the broker has counted since it began.
  type Counters (
    reads: int,
    writes: int,
    flushes: int,
    discards: int,
    bytesRead: int,
    bytesWritten: int,
    errors: int,
    replayed: int,
    inFlight: int,
    clients: int,
    wakeups: int,
    interrupts: int,
    framesOut: int,
    framesIn: int,
    bytesOut: int,
    bytesIn: int,
    framesRefused: int,
    resets: int
  )

  # How long requests of one kind ("read", "write", "flush", "discard") took since the broker began. "counts": in each
  # bucket, which has those that took at most 1, 2, 4, ... 16777216 microseconds and fit into no lower one; the last has
  # those that took longer. "total": nanoseconds of all.
  type Latency (
    operation: string,
    counts: []int,
    total: int
  )

  type Violation (
    name: string,
    count: int,
    detail: string,
    time: int
  )

  # A DMA access that the IOMMU refused, as the kernel's log has it.
  type DMAFault (
    device: string,
    access: string,
    address: ?string,
    reason: string,
    text: string,
    time: int
  )

  # What an emulated device is made of: "file" holds its blocks (null: memory), "size" are the bytes of it while the device
  # is taken, and "options" is the key "emulated" of its configuration without the file.
  type Emulation (
    file: ?string,
    size: ?int,
    options: string
  )

  # "brokerSince" is when the broker and its counters began, "countedSince" when restarts and violations did.
  # "desired" is what the configuration or since then an operator asks for: running, stopped, held (taken without a driver,
  # for the sake of its IOMMU group) or kernel (left to the kernel's own driver); "origin" is where the configuration names
  # the device. "state" is what is, unconfigured, absent, idle, refused, failed, running, quarantined, or one
  # on the way, such as starting-driver.
  type Device (
    address: string,
    name: ?string,
    vendorID: string,
    deviceID: string,
    vendor: string,
    model: string,
    className: string,
    kernelDriver: ?string,
    group: ?int,
    configured: bool,
    origin: ?string,
    driver: ?string,
    driverVersion: ?string,
    desired: string,
    state: string,
    reason: ?string,
    hint: ?string,
    since: int,
    generation: int,
    brokerPid: ?int,
    driverPid: ?int,
    restarts: int,
    brokerRestarts: int,
    outlet: ?Outlet,
    counters: ?Counters,
    latencies: []Latency,
    brokerSince: ?int,
    countedSince: int,
    violations: []Violation,
    dmaFault: ?DMAFault,
    emulation: ?Emulation
  )

  type Reason (
    code: string,
    message: string,
    hint: string,
    overridable: bool
  )

  # Whether a device can be isolated. "blockers" is empty where it can; "notes" explain.
  type IsolationCheck (
    address: string,
    vendorID: string,
    deviceID: string,
    vendor: string,
    model: string,
    className: string,
    kernelDriver: ?string,
    group: ?int,
    groupMembers: []string,
    bridges: []string,
    interruptRemapping: string,
    resetMethods: []string,
    drivers: []string,
    isolatable: bool,
    blockers: []Reason,
    notes: []string
  )

  # A mistake in a file: "line" and "column" count from 1; null: the whole file, the whole line.
  type Issue (
    file: string,
    line: ?int,
    column: ?int,
    message: string,
    hint: string
  )

  # A key of a device's configuration by its full name, such as limits.memory. "value" is as TOML has it, null: not set.
  # "source" is default, file ("file" and "line" say where), manifest ("file") or derived (from what, is in "note").
  type Setting (
    key: string,
    value: ?string,
    source: string,
    file: ?string,
    line: ?int,
    note: ?string
  )

  # What the configuration comes to for one device; "address" is null for an entry that fits no device now. "driver" is the
  # name of one, none or kernel.
  type ConfiguredDevice (
    address: ?string,
    name: ?string,
    driver: ?string,
    entry: string,
    settings: []Setting
  )

  # An installed driver. "devices" are the addresses that the configuration gives it. With "issues" its manifest is broken, and
  # the driver cannot be used.
  type Driver (
    name: string,
    deviceClass: ?string,
    version: ?string,
    manifest: string,
    executable: ?string,
    matches: []string,
    options: []string,
    devices: []string,
    issues: []Issue
  )

  # "kind" is state, violation, dma-fault, unit, interface, link, binding, failure or configuration.
  type Event (
    time: int,
    kind: string,
    address: string,
    name: ?string,
    state: ?string,
    text: string
  )

  # The configured devices; with "all" every PCI device of the machine.
  method List(all: ?bool) -> (devices: []Device)

  # One device with fresh counters; without "device" all configured ones.
  method Status(device: ?string) -> (devices: []Device)

  # Answers when the device runs, or cannot.
  method Start(device: string) -> (device: Device)

  # Gives the device back to the kernel. "force": even if its block device is in use.
  method Stop(device: string, force: ?bool) -> (device: Device)

  # Stops the driver in order and starts the next one; the outlet stays. Also the way out of quarantine.
  method Restart(device: string) -> (device: Device)

  # Takes a device that the configuration does not name, or no longer, and answers when it runs, or cannot; then nothing is
  # changed. A configured device that is stopped is started. "driver" is the name of one, "none" or "auto" (the default). It
  # lasts until Detach or the next boot; with "permanent" it is also written to a drop-in of the configuration.
  method Attach(device: string, driver: ?string, name: ?string, permanent: ?bool) -> (device: Device)

  # Gives a device back to the kernel's own driver, although the configuration names it, until Attach or the next boot; with
  # "permanent" a drop-in of the configuration says so. "force": even if its block device is in use.
  method Detach(device: string, force: ?bool, permanent: ?bool) -> (device: Device)

  # Forgets restarts, violations and failures of one device, or of all. A failed or refused one becomes idle and is not
  # started; one in quarantine gets its next driver.
  method ResetFailed(device: ?string) -> (devices: []Device)

  # The installed drivers, and manifests that are none.
  method ListDrivers() -> (drivers: []Driver)

  # The configuration in force, for one device or for all, and where each value comes from.
  method ShowConfiguration(device: ?string) -> (devices: []ConfiguredDevice)

  # Reads the files of the configuration and says what is wrong with them; they are not put in force.
  method CheckConfiguration() -> (issues: []Issue)

  # Looks at one device, or at all; changes nothing.
  method Check(device: ?string) -> (checks: []IsolationCheck)

  # Streams what happens from now on; needs "more".
  method Monitor() -> (event: Event)

  error NoSuchDevice (device: string, message: string, hint: string)
  error NotConfigured (device: string, message: string, hint: string)
  error Refused (device: string, message: string, hint: string, reasons: []Reason)
  error InvalidState (device: string, message: string, hint: string)
  error InUse (device: string, message: string, hint: string)
  error Failed (device: string, message: string, hint: string)
  error PermissionDenied (device: string, message: string, hint: string)
  error AlreadyAttached (device: string, message: string, hint: string)
  error NoSuchDriver (device: string, message: string, hint: string)
  error InvalidName (device: string, message: string, hint: string)
  error InvalidConfiguration (device: string, message: string, hint: string, issues: []Issue)

  """#
