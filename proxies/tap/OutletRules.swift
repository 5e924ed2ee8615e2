import Jail

/// What a broker may ask of the kernel for its interface's sake: by file, and by request.
enum OutletRules {
  // linux/if_tun.h: _IOW('T', n, int), and TUNSETCARRIER.
  private static let tapRequests: [(UInt64, String, String)] = [
    (0x4004_54E2, "TUNSETCARRIER", "carrier follows the link"),
    (0x4004_54D0, "TUNSETOFFLOAD", "the kernel leaves to the NIC what its driver can do"),
    (0x4004_54D9, "TUNSETQUEUE", "uses as many queues as the driver has"),
  ]

  // linux/vhost.h. Not among them: VHOST_SET_OWNER, which happens before.
  private static let vhostRequests: [(UInt64, String, String)] = [
    (0x4008_AF00, "VHOST_SET_FEATURES", "agrees with a new driver"),
    (0x4008_AF03, "VHOST_SET_MEM_TABLE", "a new driver's arena, and nothing else"),
    (0x4008_AF10, "VHOST_SET_VRING_NUM", "a new driver's rings"),
    (0x4028_AF11, "VHOST_SET_VRING_ADDR", "a new driver's rings"),
    (0x4008_AF12, "VHOST_SET_VRING_BASE", "a new driver's rings"),
    (0xC008_AF12, "VHOST_GET_VRING_BASE", "where a ring stood when it stopped"),
    (0x4008_AF20, "VHOST_SET_VRING_KICK", "how the driver wakes the kernel"),
    (0x4008_AF21, "VHOST_SET_VRING_CALL", "how the kernel wakes the driver"),
    (0x4008_AF22, "VHOST_SET_VRING_ERR", "hears what the kernel refuses"),
    (0x4008_AF23, "VHOST_SET_VRING_BUSYLOOP_TIMEOUT", "how long the kernel looks on"),
    (0x4008_AF30, "VHOST_NET_SET_BACKEND", "starts and stops carrying frames"),
  ]

  /// - Parameter vhosts: empty where the broker carries the frames itself.
  static func of(taps: [Int32], vhosts: [Int32]) -> [SeccompRule] {
    var rules: [SeccompRule] = []
    for tap in taps where vhosts.isEmpty {
      rules.append(SeccompRule("readv", [.file(tap, "TAP")], because: "takes frames of the machine"))
      rules.append(SeccompRule("writev", [.file(tap, "TAP")], because: "gives frames to the machine"))
    }
    for (files, name, requests) in [(taps, "TAP", tapRequests), (vhosts, "vhost-net", vhostRequests)] {
      for file in files {
        for (number, request, reason) in requests {
          rules.append(SeccompRule("ioctl", [.file(file, name), .equals(1, number, request)], because: reason))
        }
      }
    }
    return rules
  }
}
