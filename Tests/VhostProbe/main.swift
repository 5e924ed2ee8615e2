// Plays a driver on the kernel's vhost-net, with an honest pair of rings and with ones that lie. Needs root,
// /dev/vhost-net and /dev/net/tun. Output: a line `ok NAME` or `failed NAME: REASON` for each check; status 1 if one failed.
import Glibc
import Platform

func say(_ text: String) {
  let line = text + "\n"
  _ = write(1, line, line.utf8.count)
}

func run(_ name: String, _ body: () throws -> Void) -> Bool {
  do {
    try body()
    say("ok \(name)")
    return true
  } catch {
    say("failed \(name): \(error)")
    return false
  }
}

do {
  let probe = try Probe()
  say("features 0x\(String(probe.vhost.offered.rawValue, radix: 16))")
  var passed = run("both-ways", probe.bothWays)
  passed = run("refuses-to-read", probe.refusesToRead) && passed
  passed = run("refuses-to-write", probe.refusesToWrite) && passed
  passed = run("next-driver", probe.bothWays) && passed
  passed = run("interface-stays", probe.interfaceStays) && passed
  exit(passed ? 0 : 1)
} catch {
  say("failed start: \(error)")
  exit(1)
}
