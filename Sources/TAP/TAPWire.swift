import CBulkhead
import Platform

/// A TAP interface as a cable: its file gives and takes one bare Ethernet frame at a time, without any header, and the
/// kernel finishes each frame (checksums, segments) before it gives it away.
///
/// The other end of an emulated NIC. Offloads, several queues and carrier are for ``TAPInterface``.
public enum TAPWire {
  /// Makes an interface in the calling thread's namespace; it is down. It lives as long as the file, which does not block.
  /// Needs CAP_NET_ADMIN.
  /// - Throws: `tap-open`, `tap-interface`; EBUSY: there is an interface of that name.
  public static func open(_ name: InterfaceName, path: String = "/dev/net/tun") throws(Failure) -> Descriptor {
    let opened = bh_tap_open(path)
    let file = Descriptor(owning: try checked(opened, "tap-open", "open \(path)", hint: TAPHint.open(-opened)))
    var bytes = TAPQueue.bytes(of: name)
    let flags: TAPFlags = [.tap, .noPacketInformation, .exclusive]
    let result = bh_tap_set_interface(file.number, &bytes, flags.rawValue)
    try checked(result, "tap-interface", "make the interface \(name)", hint: TAPHint.interface(-result))
    return file
  }
}
