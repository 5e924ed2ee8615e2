/// The text of `io.bulkhead.varlink`, as `GetInterfaceDescription` gives it. A test compares the two.
public let interfaceDescription = #"""
  # Bulkhead: PCI device drivers outside the kernel, each in a process of its own.
  #
  # Devices are named by their full address ("0000:01:00.0"), their short one ("01:00.0", in domain 0) or the name that
  # the configuration gives them. Times are seconds since 1970. Every error carries a message, and a hint where there is
  # something to do. Whoever can open the socket may read; Start, Stop and Restart are for uid 0
  # and for the user that runs the daemon.
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

  # Where the rest of the machine uses a device. "socket" speaks NBD; a unit's "export" is its name there, and
  # the first one is also meant by no name.
  type Outlet (
    socket: ?string,
    units: []Unit
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
    interrupts: int
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

  # "state" is one of the states of docs: absent, idle, refused, preparing, startingBroker, startingDriver, running, ...
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
    driver: ?string,
    driverVersion: ?string,
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
  type Check (
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

  # "kind" is state, violation, dma-fault, unit, failure or configuration.
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

  # Looks at one device, or at all; changes nothing.
  method Check(device: ?string) -> (checks: []Check)

  # Streams what happens from now on; needs "more".
  method Monitor() -> (event: Event)

  error NoSuchDevice (device: string, message: string, hint: string)
  error NotConfigured (device: string, message: string, hint: string)
  error Refused (device: string, message: string, hint: string, reasons: []Reason)
  error InvalidState (device: string, message: string, hint: string)
  error InUse (device: string, message: string, hint: string)
  error Failed (device: string, message: string, hint: string)
  error PermissionDenied (device: string, message: string, hint: string)

  """#
