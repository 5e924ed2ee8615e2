// Puts on the jail, then becomes the driver. docs/architecture.md has the picture; Sources/Jail has the steps.
import Glibc
import Jail
import Platform
import Protocol

func say(_ text: String, to file: Int32) {
  let line = text + "\n"
  var rest = Substring(line).utf8
  while !rest.isEmpty {
    let written = Array(rest).withUnsafeBytes { write(file, $0.baseAddress, $0.count) }
    guard written > 0 else { return }
    rest = rest.dropFirst(written)
  }
}

do throws(JailArguments.Invalid) {
  switch try JailArguments.parse(Array(CommandLine.arguments.dropFirst())) {
  case .printPolicy:
    // The range stands for any: its numbers do not appear in the page.
    let range = BarRange(bar: 0, offset: 0, length: UInt64(pageSize), fileOffset: 0)
    say(SeccompPolicy.driver(mapping: [range], hasBell: true).markdown, to: STDOUT_FILENO)
  case .run(let arguments):
    do throws(Failure) {
      try Launch.run(arguments)
    } catch {
      say("bulkhead-jail: \(error.line)", to: STDERR_FILENO)
      exit(ConfinementStep.exitStatus(for: error))
    }
  }
} catch {
  say("bulkhead-jail: \(error.text)\n\(JailArguments.usage)", to: STDERR_FILENO)
  exit(JailArguments.usageStatus)
}
