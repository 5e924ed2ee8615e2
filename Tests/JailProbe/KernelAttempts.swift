/// Processes, mounts, identity, and the kernel at large.
extension Attempt {
  static let processes = [
    Attempt("fork", 57), Attempt("vfork", 58, jailOnly: true), Attempt("clone", 56, 17),
    Attempt("clone-thread", 56, 0x10f00, jailOnly: true), Attempt("clone-user-namespace", 56, 0x1000_0011),
    Attempt("clone3", 435, zeros, 88), Attempt("execve", 59, nowhere, zeros, zeros),
    Attempt("execveat-path", 322, here, nowhere, zeros, zeros),
    Attempt("execveat-arena", 322, 5, nowhere, zeros, zeros, 0x1000),
    Attempt("execveat-other-flags", 322, 200, nowhere, zeros, zeros, 0),
    Attempt("ptrace", 101, 2, 1), Attempt("kill-self", 62, 1), Attempt("kill-all", 62, none, jailOnly: true),
    Attempt("kill-other", 62, 2, jailOnly: false), Attempt("tkill", 200, 1), Attempt("tgkill", 234, 1, 1),
    Attempt("rt_sigqueueinfo", 129, 1, 0, zeros), Attempt("pidfd_send_signal", 424, 2, 0),
    Attempt("wait4", 61, 99), Attempt("waitid", 247, 99), Attempt("getppid", 110), Attempt("getpgid", 121),
    Attempt("setpgid", 109, 0x7fff_ffff), Attempt("kcmp", 312, 1, 1, 0, 7, 7),
    Attempt("rt_sigaction", 13, 10, 0, zeros, 8), Attempt("rt_sigprocmask", 14, 0, 0, zeros, 8),
    Attempt("sched_setscheduler", 144, 0, 99, zeros), Attempt("sched_setaffinity", 203, 0, 0, zeros),
    Attempt("setpriority", 141, 99), Attempt("ioprio_set", 251, 99), Attempt("sched_setattr", 314, 0, 0),
    Attempt("prlimit64-write", 302, 0, 99, zeros), Attempt("prlimit64-other", 302, 0x7fff_ffff, 7, 0, zeros),
    Attempt("setrlimit", 160, 99, zeros), Attempt("futex-pi", 202, zeros, 134), Attempt("futex-shared", 202, zeros, 1),
    Attempt("membarrier", 324), Attempt("setitimer", 38, 99), Attempt("timer_create", 222, 99, 0, zeros),
  ]

  static let mounts = [
    Attempt("mount", 165, nowhere, nowhere, nowhere), Attempt("umount2", 166, nowhere),
    Attempt("pivot_root", 155, nowhere, nowhere), Attempt("fsopen", 430, text("tmpfs")),
    Attempt("fsmount", 432, none), Attempt("open_tree", 428, here, nowhere),
    Attempt("move_mount", 429, none, nowhere, none, nowhere),
    Attempt("mount_setattr", 442, here, nowhere, 0, zeros, 32),
    Attempt("fspick", 433, here, nowhere), Attempt("quotactl", 179, none, 0),
  ]

  static let identity = [
    Attempt("setuid", 105, 0), Attempt("setgid", 106, 0), Attempt("setresuid", 117, none, none, none),
    Attempt("setresgid", 119, none, none, none), Attempt("setgroups", 116), Attempt("setfsuid", 122),
    Attempt("capset", 126, 0), Attempt("capget", 125, zeros), Attempt("unshare", 272),
    Attempt("unshare-user", 272, 0x1000_0000),
    Attempt("setns", 308, 3, 0x4000_0000), Attempt("prctl", 157, 3), Attempt("seccomp", 317, 99),
    Attempt("personality", 135, 0xffff_ffff), Attempt("keyctl", 250, 99),
    Attempt("add_key", 248, nowhere, nowhere, 0, 0, 0),
    Attempt("request_key", 249, nowhere, nowhere), Attempt("getuid", 102), Attempt("getpid", 39),
  ]

  static let kernel = [
    Attempt("init_module", 175, zeros, 0, nowhere), Attempt("finit_module", 313, none, nowhere),
    Attempt("delete_module", 176, nowhere, 0x800), Attempt("kexec_load", 246, 0, 99),
    Attempt("reboot", 169, 0, 0, jailOnly: true),
    Attempt("swapon", 167, nowhere, jailOnly: true), Attempt("iopl", 172, 99), Attempt("ioperm", 173, none, 2),
    Attempt("settimeofday", 164, jailOnly: true), Attempt("clock_settime", 227, 99, zeros),
    Attempt("adjtimex", 159, zeros),
    Attempt("sethostname", 170, nowhere, none, jailOnly: true), Attempt("syslog", 103, 10, jailOnly: true),
    Attempt("uname", 63, zeros),
    Attempt("sysinfo", 99, zeros), Attempt("vhangup", 153, jailOnly: true),
    Attempt("acct", 163, nowhere, jailOnly: true),
    Attempt("unknown-call", 0x1fff),
  ]
}
