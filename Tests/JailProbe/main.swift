// A driver that tries what a driver must not do, and says on the log how each attempt ended. JailTests runs it in a
// real jail, and once without one, to see that there the same attempts do not fail with EPERM.
//
// Log: `deny NAME RESULT`, `allow NAME RESULT` (a value or -errno), then `ready`. It ends when its peer hangs up.
import CBulkhead
import Glibc

func say(_ text: String) {
  let line = text + "\n"
  _ = write(2, line, line.utf8.count)
}

// Swift's CommandLine reads /proc/self/cmdline, which is not there in a jail.
let arguments = (0..<bh_argument_count()).map { String(cString: bh_argument($0)) }

switch arguments.dropFirst().first {
case "attempts":
  let inJail = arguments.last == "jailed"
  for attempt in Attempt.denied where inJail || !attempt.jailOnly { say("deny \(attempt.name) \(attempt.result())") }
  for attempt in Attempt.allowed { say("allow \(attempt.name) \(attempt.result())") }
case "crash": fatalError("as asked")
case "x32":
  // getpid by the x32 table: kills the process, if the filter works.
  say("x32 \(bh_syscall(0x4000_0000 | 39, 0, 0, 0, 0, 0, 0))")
case "environment":
  // The kernel puts the environment behind argv and its NULL; the variable environ is not for Swift 6.
  var entry = bh_argument_count() + 1
  while let text = bh_argument(entry) {
    say("environment \(String(cString: text))")
    entry += 1
  }
  for argument in arguments { say("argument \(argument)") }
  say("identity \(getuid()) \(getpid())")
case "locks": Locks.tryAll()
default: break
}
say("ready")
var control = pollfd(fd: 3, events: Int16(POLLIN), revents: 0)
_ = bh_ppoll(&control, 1, -1)
