import CBulkhead
import Glibc
import Platform

/// An IOMMU group: the smallest set of devices that the IOMMU can tell apart from others.
public final class VFIOGroup {
  /// What messages call it: its path.
  public let name: String
  private var descriptor: Int32
  private var isAttached = false

  /// Opens `/dev/vfio/<number>`. The kernel lets one process at a time.
  /// - Throws: `vfio-open`.
  public convenience init(number: Int, directory: String = "/dev/vfio") throws(Failure) {
    let path = "\(directory)/\(number)"
    let file = open(path, O_RDWR | O_CLOEXEC)
    guard file >= 0 else {
      throw Failure("vfio-open", "open \(path)", errno: errno, hint: VFIOGroup.hint(forOpen: errno))
    }
    self.init(owning: Descriptor(owning: file), name: path)
  }

  /// Takes over a group that somebody else has opened.
  public init(owning file: consuming Descriptor, name: String) {
    self.name = name
    descriptor = file.release()
  }

  deinit { close() }

  private static func hint(forOpen errno: Int32) -> String {
    switch errno {
    case ENOENT: return "no device of this group is bound to vfio-pci"
    case EBUSY: return "another process has the group open"
    default: return ""
    }
  }

  /// Joins a container.
  /// - Throws: `vfio-group-not-viable` when a member is still driven by the kernel, `vfio-set-container`.
  public func attach(to container: VFIOContainer) throws(Failure) {
    var flags: UInt32 = 0
    try checked(bh_vfio_group_status(descriptor, &flags), "vfio-group-status", "ask \(name) for its status")
    guard flags & UInt32(VFIO_GROUP_FLAGS_VIABLE) != 0 else {
      throw Failure(
        "vfio-group-not-viable", "use \(name)",
        hint: "each device of the group must be bound to vfio-pci or to no driver; bulkheadctl check names the others")
    }
    try checked(bh_vfio_set_container(descriptor, container.file), "vfio-set-container", "put \(name) into a container")
    isAttached = true
  }

  /// Opens the device at `address` (`0000:01:00.0`); close-on-exec.
  /// - Throws: `vfio-device`.
  public func openDevice(_ address: String) throws(Failure) -> Descriptor {
    Descriptor(
      owning: try checked(
        bh_vfio_device_fd(descriptor, address), "vfio-device", "open device \(address) of \(name)",
        hint: "the device must be bound to vfio-pci"))
  }

  /// Leaves the container and closes. Close the group's devices first. May be called again.
  public func close() {
    guard descriptor >= 0 else { return }
    if isAttached { _ = bh_vfio_unset_container(descriptor) }
    _ = Glibc.close(descriptor)
    descriptor = -1
  }
}
