import Glibc

/// What an administrator can do about an error of a TAP.
enum TAPHint {
  static func open(_ errno: Int32) -> String {
    switch errno {
    case ENOENT, ENODEV: "load the module: modprobe tun"
    case EACCES, EPERM: "the file is there, but not for this user or control group"
    default: ""
    }
  }

  static func interface(_ errno: Int32) -> String {
    switch errno {
    case EPERM: "needs CAP_NET_ADMIN in the network namespace"
    case EBUSY, EEXIST: "there is an interface of that name: ip -d link shows it"
    case EINVAL: "there is an interface of that name that is no TAP, or has other settings: ip -d link shows it"
    case E2BIG: "it has 256 queues, the most that the kernel allows"
    default: ""
    }
  }

  static func offload(_ errno: Int32) -> String {
    errno == EINVAL ? "segmentation goes only with checksums; UDP segmentation needs Linux 6.2" : gone(errno)
  }

  static func queue(_ errno: Int32) -> String {
    errno == EINVAL ? "the interface is gone, or was made for one queue only" : gone(errno)
  }

  static func gone(_ errno: Int32) -> String {
    switch errno {
    case EBADFD: "the interface was deleted"
    case ENOTTY: "this is not a TAP's file"
    default: ""
    }
  }
}
