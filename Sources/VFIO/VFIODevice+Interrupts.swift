import CBulkhead
import Glibc
import Platform

extension VFIODevice {
  /// How many vectors of a kind the device has; 0 if the kernel knows no such kind for it.
  /// - Throws: `vfio-irq-info`.
  public func interruptCount(_ kind: InterruptKind) throws(Failure) -> Int {
    Int(try interruptInfo(kind)?.count ?? 0)
  }

  /// Whether ``mask(_:vector:)`` works for a kind; today's kernels mask INTx only.
  /// - Throws: `vfio-irq-info`.
  public func isMaskable(_ kind: InterruptKind) throws(Failure) -> Bool {
    try (interruptInfo(kind)?.flags ?? 0) & UInt32(VFIO_IRQ_INFO_MASKABLE) != 0
  }

  /// See ``DeviceBacking/wireInterrupts(_:eventfds:)``.
  /// - Throws: `vfio-irq`, `vfio-irq-info`.
  public func wireInterrupts(_ kind: InterruptKind, eventfds: [Int32]) throws(Failure) {
    let available = try interruptCount(kind)
    guard !eventfds.isEmpty, eventfds.count <= min(available, Int(BH_VFIO_MAX_VECTORS)) else {
      throw Failure("vfio-irq", "wire \(eventfds.count) of \(available) \(kind) vectors of \(address)")
    }
    // The number of vectors is fixed when the first is wired, so a new set starts from nothing.
    try disableInterrupts(kind)
    try checked(
      bh_vfio_set_eventfds(file, kind.rawValue, 0, UInt32(eventfds.count), eventfds), "vfio-irq",
      "wire \(eventfds.count) \(kind) vectors of \(address)")
    wired[kind] = eventfds.count
  }

  /// See ``DeviceBacking/setInterrupt(_:vector:eventfd:)``.
  /// - Throws: `vfio-irq`.
  public func setInterrupt(_ kind: InterruptKind, vector: Int, eventfd: Int32?) throws(Failure) {
    try checkVector(kind, vector)
    var descriptor = eventfd ?? -1
    try checked(
      bh_vfio_set_eventfds(file, kind.rawValue, UInt32(vector), 1, &descriptor), "vfio-irq",
      "\(eventfd == nil ? "switch off" : "rewire") \(kind) vector \(vector) of \(address)")
  }

  /// See ``DeviceBacking/disableInterrupts(_:)``.
  /// - Throws: `vfio-irq`.
  public func disableInterrupts(_ kind: InterruptKind) throws(Failure) {
    guard wired[kind] != nil else { return }
    try checked(
      bh_vfio_irq_action(file, kind.rawValue, UInt32(VFIO_IRQ_SET_ACTION_TRIGGER), 0, 0), "vfio-irq",
      "switch off the \(kind) vectors of \(address)")
    wired[kind] = nil
  }

  /// Holds a vector back at the interrupt controller.
  /// - Throws: `vfio-irq`.
  public func mask(_ kind: InterruptKind, vector: Int) throws(Failure) {
    try act(VFIO_IRQ_SET_ACTION_MASK, "mask", kind, vector)
  }

  /// Lets a vector through again; INTx masks itself at each interrupt.
  /// - Throws: `vfio-irq`.
  public func unmask(_ kind: InterruptKind, vector: Int) throws(Failure) {
    try act(VFIO_IRQ_SET_ACTION_UNMASK, "unmask", kind, vector)
  }

  /// Signals a vector's eventfd without the device: a test of the wiring.
  /// - Throws: `vfio-irq`.
  public func trigger(_ kind: InterruptKind, vector: Int) throws(Failure) {
    try act(VFIO_IRQ_SET_ACTION_TRIGGER, "trigger", kind, vector)
  }

  private func act(_ action: Int32, _ verb: String, _ kind: InterruptKind, _ vector: Int) throws(Failure) {
    try checkVector(kind, vector)
    try checked(
      bh_vfio_irq_action(file, kind.rawValue, UInt32(action), UInt32(vector), 1), "vfio-irq",
      "\(verb) \(kind) vector \(vector) of \(address)")
  }

  private func checkVector(_ kind: InterruptKind, _ vector: Int) throws(Failure) {
    try opened()
    guard let count = wired[kind], (0..<count).contains(vector) else {
      throw Failure("vfio-irq", "\(kind) vector \(vector) of \(address) is not wired")
    }
  }

  /// `nil` if the device has no such kind: an older kernel does not count it, and a conventional PCI device has no error
  /// interrupt, which the kernel answers with EINVAL.
  private func interruptInfo(_ kind: InterruptKind) throws(Failure) -> vfio_irq_info? {
    try opened()
    guard kind.rawValue < interruptIndexCount else { return nil }
    var info = vfio_irq_info()
    let result = bh_vfio_irq_info(file, kind.rawValue, &info)
    if result == -EINVAL { return nil }
    try checked(result, "vfio-irq-info", "ask \(address) for its \(kind) vectors")
    return info
  }
}
