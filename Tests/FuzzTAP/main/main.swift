import FuzzTAP
import Glibc
import Platform

// fuzz-tap [ROUNDS [SEED]]: four fifths of the rounds one after the other, one fifth with a thread that changes everything
// meanwhile; a new seed for every hundred thousand.
/// A line at once, also into a pipe.
func say(_ line: String) {
  let bytes = Array((line + "\n").utf8)
  _ = write(1, bytes, bytes.count)
}

/// Rounds of one seed.
let portion: UInt64 = 100_000

func number(_ index: Int, _ fallback: UInt64) -> UInt64 {
  guard CommandLine.arguments.count > index else { return fallback }
  guard let value = UInt64(CommandLine.arguments[index]) else {
    say("usage: fuzz-tap [ROUNDS [SEED]]")
    exit(2)
  }
  return value
}

let rounds = number(1, 10_000_000)
var seed = number(2, 1)
var total = FuzzReport()
let start = monotonicNow()
say("fuzz-tap: \(rounds) rounds, seed \(seed)")
do {
  var told: UInt64 = 0
  while total.rounds < rounds {
    let fuzz = try Fuzz(seed: seed, queueSize: [16, 4, 64, 256][Int(seed % 4)])
    total += try fuzz.run(rounds: min(portion, rounds - total.rounds), isRacing: seed % 5 == 0)
    seed += 1
    if total.rounds >= told + 1_000_000 {
      told = total.rounds
      say("  \(total.rounds) rounds, \((monotonicNow() - start) / 1_000_000_000) s")
    }
  }
} catch {
  say("FOUND: \(error)")
  exit(1)
}
let seconds = Double(monotonicNow() - start) / 1e9
say("\(total.rounds) rounds in \(Int(seconds)) s, \(Int(Double(total.rounds) / max(seconds, 0.001))) a second")
say("\(total.drivers) drivers, faults: \(total.faults.sorted { $0.key < $1.key }.map { "\($0.key) \($0.value)" })")
say("\(total.framesOut) frames out, \(total.framesIn) in, \(total.refused) refused, \(total.accesses) accesses")
say("nothing outside the arena was touched")
