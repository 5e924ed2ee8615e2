import CBulkhead
import Control
import Glibc
import Logging
import PCI
import Platform

/// Has devices moved between the kernel's drivers and vfio-pci, each time by a child of ours: while the kernel binds or
/// unbinds a device, which with a broken one may take minutes, nobody waits but that device.
///
/// Orders for one device are carried out one after the other, those for others at the same time.
final class BindingQueue {
  private final class Job {
    let order: BindingOrder
    let done: (BindingAnswer) -> Void
    let slow: (String) -> Void
    var isStarted = false
    var process: ChildProcess?
    /// What the process prints; -1 without one.
    var answer: Int32 = -1

    init(_ order: BindingOrder, slow: @escaping (String) -> Void, done: @escaping (BindingAnswer) -> Void) {
      self.order = order
      self.slow = slow
      self.done = done
    }

    deinit { if answer >= 0 { Descriptor.close(answer) } }
  }

  private let loop: EventLoop
  /// Of a bulkheadd.
  private let executable: String
  /// When somebody is told that it takes long.
  private let patience: Nanoseconds
  /// In the order in which they came.
  private var jobs: [Job] = []

  init(loop: EventLoop, executable: String = "/proc/self/exe", patience: Nanoseconds = 10_000_000_000) {
    self.loop = loop
    self.executable = executable
    self.patience = patience
  }

  /// - Parameters:
  ///   - slow: called once if the kernel takes long, with words for the log.
  ///   - done: called from the loop, never from within this call.
  func submit(
    _ order: BindingOrder, slow: @escaping (String) -> Void = { _ in }, done: @escaping (BindingAnswer) -> Void
  ) {
    jobs.append(Job(order, slow: slow, done: done))
    startThoseThatCan()
  }

  /// A job can start when none before it concerns one of its devices.
  private func startThoseThatCan() {
    var taken: Set<PCIAddress> = []
    for job in jobs {
      if !job.isStarted, taken.isDisjoint(with: job.order.addresses) { start(job) }
      taken.formUnion(job.order.addresses)
    }
  }

  private func start(_ job: Job) {
    job.isStarted = true
    do throws(Failure) { job.process = try spawn(job) } catch {
      loop.after(0) { [weak self] in self?.finish(job, BindingAnswer(failures: [error])) }
      return
    }
    loop.after(patience) { [weak self, weak job] in
      guard let self, let job, self.jobs.contains(where: { $0 === job }) else { return }
      let seconds = self.patience / 1_000_000_000
      let process = job.process.map { " (process \($0.pid))" } ?? ""
      job.slow("the kernel has needed more than \(seconds) s to \(job.order.words)\(process)")
    }
  }

  private func spawn(_ job: Job) throws(Failure) -> ChildProcess {
    let text = String(decoding: JSON.encoded(job.order), as: UTF8.self)
    var ends: [Int32] = [-1, -1]
    try checked(bh_log_pipe(&ends), "spawn", "make a pipe")
    job.answer = ends[0]
    let theirEnd = Descriptor(owning: ends[1])
    return try ChildProcess(
      ChildProcess.Specification(
        executable: executable, arguments: ["bulkheadd", "--\(BindingProcess.option)", text],
        files: [-1, theirEnd.number, STDERR_FILENO], diesWithUs: true),
      loop: loop
    ) { [weak self, weak job] end in
      guard let self, let job else { return }
      self.finish(job, BindingProcess.answer(from: job.answer, to: job.order, end))
    }
  }

  private func finish(_ job: Job, _ answer: BindingAnswer) {
    jobs.removeAll { $0 === job }
    startThoseThatCan()
    job.done(answer)
  }
}

extension BindingOrder {
  /// As in "to bind 0000:01:00.0".
  var words: String {
    let devices = addresses.map(\.description).joined(separator: ", ")
    return switch action {
    case .prepare: "say which driver has \(devices)"
    case .bind: "take \(devices) from its driver"
    case .release: "give \(devices) back"
    }
  }

  /// The code of failures.
  fileprivate var code: String {
    switch action {
    case .prepare: "sysfs-read"
    case .bind: "pci-bind"
    case .release: "pci-release"
    }
  }
}

/// The child that a ``BindingQueue`` starts: a bulkheadd that carries one order out and prints what came of it.
public enum BindingProcess {
  /// The command line option whose value is the order.
  public static let option = "carry-out"

  /// Does what the order says.
  /// - Returns: false where `text` is no order; else there is an answer, whatever it is.
  public static func run(_ text: String) -> Bool {
    guard let order = try? JSON.decode(BindingOrder.self, from: text.utf8) else { return false }
    let answer: BindingAnswer
    if order.action == .bind, let failure = KernelModule.loadVFIO(sys: order.sys) {
      answer = BindingAnswer(failures: [failure])
    } else {
      answer = order.carryOut()
    }
    print(String(decoding: JSON.encoded(answer), as: UTF8.self))
    return true
  }

  /// What the process has printed by its end.
  fileprivate static func answer(from file: Int32, to order: BindingOrder, _ end: ProcessEnd) -> BindingAnswer {
    var bytes: [UInt8] = []
    var chunk = [UInt8](repeating: 0, count: 4096)
    while case let count = Glibc.read(file, &chunk, chunk.count), count > 0 { bytes += chunk[..<count] }
    if let answer = try? JSON.decode(BindingAnswer.self, from: bytes) { return answer }
    return BindingAnswer(
      failures: [Failure(order.code, "\(order.words): the process for it has no answer; \(end)")])
  }
}
