import CBulkhead
import Campaign
import Glibc
import Platform

// nbd-campaign: writes and reads a disk at random while its driver is killed, and checks what every sector may hold.
// The summary, JSON, goes to standard output. Exit status: 0 right, 1 wrong data or an error, 2 no answer within the
// deadline, 64 wrong arguments.

func writeError(_ text: String) {
  let bytes = Array("nbd-campaign: \(text)\n".utf8)
  _ = write(STDERR_FILENO, bytes, bytes.count)
}

let arguments: Arguments
do throws(Failure) {
  arguments = try Arguments((1..<max(1, Int(bh_argument_count()))).map { String(cString: bh_argument(Int32($0))) })
} catch {
  writeError("\(error.step)\n\(Arguments.usage)")
  exit(64)
}

/// Runs the campaign and prints its summary.
func run(_ arguments: Arguments) -> Int32 {
  var campaign: Campaign?
  var failure: Failure?
  do throws(Failure) {
    let made = try arguments.makeCampaign(report: writeError)
    campaign = made
    try made.run()
  } catch { failure = error }
  let summary = campaign?.summary ?? CampaignSummary()
  print(summary.json(seed: arguments.options.seed, failure: failure))
  if let failure { writeError("\(failure)") }
  if failure?.code == "campaign-hang" { return summary.violationCount > 0 ? 1 : 2 }
  return failure == nil && summary.violationCount == 0 ? 0 : 1
}

_ = bh_ignore_sigpipe()
exit(run(arguments))
