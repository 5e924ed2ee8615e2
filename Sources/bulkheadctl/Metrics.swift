import ArgumentParser
import Control
import Glibc
import Platform

extension MetricsFormat: ExpressibleByArgument {}

struct Metrics: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Counters, gauges and histograms of all configured devices, for monitoring.",
    discussion: """
      The format prometheus is what promtool, Prometheus and node_exporter's textfile collector read; openmetrics is \
      OpenMetrics 1.0, which calls families of counters differently and says when they began.

      Counts of requests and interrupts begin with a device's broker, those of restarts and violations with bulkheadd \
      or reset-failed; a new driver resets none of them.
      """)

  @OptionGroup var options: GlobalOptions

  @Option(help: "prometheus or openmetrics.")
  var format = MetricsFormat.prometheus

  @Option(
    name: .customLong("textfile"),
    help: """
      Replace the file at this path at once, for node_exporter; always in the format prometheus. Without bulkheadd, or \
      if that does not answer for 10 seconds, it says bulkhead_up 0, and the exit status is 5.
      """,
    completion: .file(extensions: ["prom"]))
  var textFile: String?

  /// Seconds, after which a bulkheadd that does not answer is as one that is not there. Less than what the unit
  /// bulkhead-metrics.service has, so that its file says so.
  private static let patience = 10

  func validate() throws {
    if options.json { throw ValidationError("metrics has no --json; bulkheadctl status --json has the same numbers") }
    if textFile != nil, format == .openMetrics {
      throw ValidationError("--textfile is for node_exporter, which does not read the format openmetrics")
    }
    if textFile?.isEmpty == true { throw ValidationError("--textfile needs a path") }
  }

  func run() throws {
    let families: [MetricFamily]
    do throws(VarlinkClient.Problem) {
      let reply: Service.DevicesReply = try VarlinkClient(socket: options.socket, timeout: Metrics.patience)
        .call(.status, Service.DeviceParameters())
      families = DeviceMetrics(reply.devices).families
    } catch {
      let status = error.report()
      // What was true before is not any more, and whoever collects the file is to know.
      if status == ExitStatus.unreachable.code, textFile != nil { try write(DeviceMetrics.unreachable) }
      throw status
    }
    if textFile != nil { return try write(families) }
    print(format.text(families), terminator: "")
  }

  private func write(_ families: [MetricFamily]) throws {
    guard let textFile else { return }
    do throws(Failure) { try TextFile.replace(textFile, with: MetricsFormat.prometheus.text(families)) } catch {
      writeError("bulkheadctl: \(error)")
      throw (error.errno == EACCES || error.errno == EPERM ? ExitStatus.noPermission : .failed).code
    }
  }
}
