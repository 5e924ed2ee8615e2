/// The fixed numbers of a driver's open files. A running driver has these and no others.
public enum DriverFile {
  /// Write end of the log pipe (text for people; the supervisor reads it as untrusted).
  public static let log: Int32 = 2
  /// SOCK_SEQPACKET to the broker.
  public static let control: Int32 = 3
  /// memfd: virtqueues and request headers, shared with the broker, out of the device's reach.
  public static let rings: Int32 = 4
  /// memfd: the driver's own DMA memory, shared with the device.
  public static let arena: Int32 = 5
  /// memfd: payload, shared by broker and device; given only to drivers whose manifest asks for it.
  public static let payload: Int32 = 6
  /// The VFIO device file; good for mmap of the granted BAR ranges and nothing else.
  public static let device: Int32 = 7
  /// eventfd: tells an emulated device that a register or a doorbell was written; real devices have none.
  public static let bell: Int32 = 8
  /// Where BAR 0 of a device with a bell says which writes it wants to hear of: bit n of the 32-bit word stands for the
  /// double words whose number is n, modulo 32. It is to be read after the write, with a full barrier between.
  public static let bellWantedOffset = 0x1FFC
  /// Interrupt vector v is eventfd `interrupts + v`.
  public static let interrupts: Int32 = 16
  /// The broker kicks queue q through eventfd `kicks + q`.
  public static let kicks: Int32 = 64
  /// The driver calls the broker for queue q through eventfd `calls + q`.
  public static let calls: Int32 = 96
  /// Where the jail keeps the executable until exec; closed by then.
  public static let executable: Int32 = 200

  /// The most interrupt vectors that can be granted.
  public static let maximumInterrupts = Int(kicks - interrupts)
  /// The most virtqueues that can be granted.
  public static let maximumQueues = Int(calls - kicks)
}

/// Where the parts of a driver's world are in the device's address space (IOVA).
///
/// All of it is below 4 GiB, for devices with 32-bit DMA, and clear of the x86 interrupt window at 0xFEE0_0000.
public enum AddressMap {
  /// The driver's own DMA memory.
  public static let arena: UInt64 = 0x1000_0000
  /// Payload.
  public static let payload: UInt64 = 0x2000_0000
  /// Virtqueues and request headers. A name for descriptors only: the device cannot reach it.
  public static let rings: UInt64 = 0xC000_0000

  /// The most bytes of the driver's DMA memory: 256 MiB.
  public static let maximumArena = 0x1000_0000
  /// The most bytes of payload: 1 GiB.
  public static let maximumPayload = 0x4000_0000
}
