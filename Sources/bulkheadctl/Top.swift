import ArgumentParser
import Control
import Glibc
import Platform

struct Top: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "What devices do, again and again: throughput, operations, latency, processor time and memory.",
    discussion: """
      On a terminal the page is redrawn in place until q or Ctrl-C. Elsewhere, and on a dumb terminal, pages follow one \
      another, and with --json one array a line. IN/s is what is read or received, OUT/s what is written or sent, OP/s \
      requests or packets both ways; MEAN and P99 are of the requests of the interval, %DRV and %BRK the driver's and the \
      broker's share of one processor, MEM the memory of both, RST how often the driver was replaced. Numbers that are \
      not known are a hyphen.
      """)

  @OptionGroup var options: GlobalOptions

  @Option(name: .shortAndLong, help: "Seconds between two looks: 0.1 to 3600.")
  var interval = 2.0

  @Option(name: [.customShort("n"), .long], help: "End after so many pages. (default: never)")
  var iterations: Int?

  @Argument(
    help: ArgumentHelp("Addresses or names; without any, all configured devices.", valueName: "device"),
    completion: .device)
  var devices: [String] = []

  func validate() throws {
    guard (0.1...3600).contains(interval) else { throw ValidationError("--interval is from 0.1 to 3600 seconds") }
    if let iterations, iterations < 1 { throw ValidationError("--iterations is 1 or more") }
  }

  func run() throws {
    // Nobody reads any more: that is an end like another.
    signal(SIGPIPE, SIG_DFL)
    var feed = TopFeed(socket: options.socket, names: devices)
    do throws(VarlinkClient.Problem) { try feed.look() } catch { throw error.report() }
    if Terminal.isThere, !options.json { return try redraw(feed) }
    try print(feed)
  }

  private var nanoseconds: Int64 { Int64(interval * 1e9) }

  // MARK: One page after the other

  private func print(_ feed: TopFeed) throws {
    var feed = feed
    var left = iterations ?? .max
    var due = monotonicNow() + nanoseconds
    var isWaiting = false
    while left > 0 {
      while monotonicNow() < due { usleep(useconds_t(min(500_000, max(1, (due - monotonicNow()) / 1000)))) }
      due = monotonicNow() + nanoseconds
      do throws(VarlinkClient.Problem) { try feed.look() } catch {
        guard error.isAbsence else { throw error.report() }
        if !isWaiting { writeError("bulkheadctl: waiting for bulkheadd") }
        isWaiting = true
        continue
      }
      isWaiting = false
      left -= 1
      if options.json {
        guard Output.emit(String(decoding: JSON.encoded(feed.rates), as: UTF8.self) + "\n") else { return }
      } else {
        let lines = page(width: Terminal.number("COLUMNS") ?? 80, height: nil).lines(
          feed.rates, title: title(feed.rates))
        guard Output.emit(lines.joined(separator: "\n") + (left > 0 ? "\n\n" : "\n")) else { return }
      }
    }
  }

  // MARK: In place

  private func redraw(_ feed: TopFeed) throws {
    var feed = feed
    var left = iterations ?? .max
    var due = monotonicNow() + nanoseconds
    var notice: String? = "the first numbers come in a moment"
    Terminal.enter()
    defer {
      Terminal.leave()
      Output.emit("\n")
    }
    while true {
      let size = Terminal.size
      // Below the last line is where the cursor stays, and nothing is to scroll.
      let lines = page(width: size.width, height: size.height - 1)
        .lines(feed.rates, title: title(feed.rates), notice: notice)
      guard Terminal.draw(lines), left > 0 else { return }
      switch Terminal.wait(due - monotonicNow()) {
      case .key(let key) where [UInt8(ascii: "q"), UInt8(ascii: "Q")].contains(key): return
      case .key, .signal: continue
      case .time: break
      }
      due = monotonicNow() + nanoseconds
      do throws(VarlinkClient.Problem) {
        try feed.look()
        notice = nil
        left -= 1
      } catch {
        guard error.isAbsence else {
          Terminal.leave()
          throw error.report()
        }
        notice = "waiting for bulkheadd; what is below was before"
      }
    }
  }

  private func page(width: Int, height: Int?) -> TopPage {
    var page = TopPage(width: width, height: height)
    page.legend = !options.noLegend
    page.style = options.style
    return page
  }

  private func title(_ rates: [TopRates]) -> String {
    let running = rates.count { $0.state == "running" }
    let seconds = interval == interval.rounded() ? "\(Int(interval))" : "\(interval)"
    return "bulkheadctl top - \(TimeOfDay.text(time(nil))), every \(seconds) s, \(rates.count) "
      + "\(rates.count == 1 ? "device" : "devices"), \(running) running"
  }
}

/// Looks at devices and remembers what it saw last.
private struct TopFeed {
  let socket: String
  let names: [String]
  private var last: [String: TopSample] = [:]
  private(set) var rates: [TopRates] = []

  init(socket: String, names: [String]) {
    self.socket = socket
    self.names = names
  }

  /// Compares with the last look. Where the daemon does not answer, everything stays as it was.
  mutating func look() throws(VarlinkClient.Problem) {
    let client = try VarlinkClient(socket: socket)
    var found: [Device] = []
    for name in names.isEmpty ? [nil] : names.map(Optional.init) {
      let reply: Service.DevicesReply = try client.call(.status, Service.DeviceParameters(device: name))
      // One may have been named twice.
      found += reply.devices.filter { device in !found.contains { $0.address == device.address } }
    }
    let now = monotonicNow()
    let samples = found.map { device in
      TopSample(
        device: device, driver: ProcessUsage(of: device.driverPid), broker: ProcessUsage(of: device.brokerPid),
        time: now)
    }
    rates = samples.map { TopRates(last[$0.device.address], $0) }
    last = Dictionary(samples.map { ($0.device.address, $0) }, uniquingKeysWith: { $1 })
  }
}

extension ProcessUsage {
  /// Of a process of this machine, which everybody may look at; nil if it is gone or hidden.
  fileprivate init?(of process: Int?) {
    guard let process, process > 0 else { return nil }
    let file = open("/proc/\(process)/stat", O_RDONLY | O_CLOEXEC)
    guard file >= 0 else { return nil }
    defer { close(file) }
    var bytes = [UInt8](repeating: 0, count: 4096)
    let count = read(file, &bytes, bytes.count)
    guard count > 0 else { return nil }
    self.init(
      stat: String(decoding: bytes.prefix(count), as: UTF8.self), ticks: sysconf(Int32(_SC_CLK_TCK)),
      page: sysconf(Int32(_SC_PAGESIZE)))
  }
}
