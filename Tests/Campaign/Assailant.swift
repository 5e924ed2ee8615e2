import CBulkhead
import Glibc
import Platform

/// Kills and stops the processes of a device at moments that a seed chooses.
///
/// A moment is a number of operations that end after the device has recovered from what was done to it before: the seed
/// reproduces it, however fast the machine is.
public final class Assailant {
  public enum Attack: String, Sendable, CaseIterable {
    case kill, stop, killBroker
  }

  private enum Phase {
    /// Until so many operations have ended.
    case lurking(until: UInt64)
    /// The status is asked for, to learn whom to hit.
    case aiming
    /// Hit; waits for the next generation (of drivers, or of brokers).
    case watching(before: DeviceStatus, since: Nanoseconds, next: Nanoseconds)
    case finished
  }

  private var plan: [(attack: Attack, gap: UInt64)] = []
  private var phase = Phase.lurking(until: 0)
  private let client: StatusClient
  private let deadline: Nanoseconds
  private static let askEvery: Nanoseconds = 2_000_000
  public private(set) var done: [Attack: Int] = [:]
  /// Nanoseconds from each blow until the device ran again.
  public private(set) var recoveries: [Nanoseconds] = []

  /// - Parameters:
  ///   - gap: operations between two attacks, at most.
  ///   - deadline: nanoseconds within which the device has to run again.
  public init(
    client: StatusClient, attacks: [Attack: Int], gap: Int, seed: UInt64, deadline: Nanoseconds
  ) {
    self.client = client
    self.deadline = deadline
    var generator = SeededGenerator(seed: seed ^ 0xA55A_1234_0FF0_CAFE)
    for attack in Attack.allCases {
      for _ in 0..<(attacks[attack] ?? 0) { plan.append((attack, UInt64(1 + generator.below(gap)))) }
    }
    plan.shuffle(using: &generator)
    plan.reverse()
    phase = plan.last.map { .lurking(until: $0.gap) } ?? .finished
  }

  public var isFinished: Bool { if case .finished = phase { true } else { false } }
  public var left: Int { plan.count }

  public func addFiles(to list: inout [pollfd]) {
    guard client.isAsking, let file = client.file else { return }
    list.append(pollfd(fd: file, events: Int16(POLLIN), revents: 0))
  }

  /// When it wants to be called at the latest.
  public var nextLook: Nanoseconds {
    if case .watching(_, _, let next) = phase, !client.isAsking { next } else { .max }
  }

  /// - Parameter ended: operations so far.
  /// - Returns: whether the device has just recovered.
  /// - Throws: ``Failure``; code `campaign-hang` when it does not recover.
  public func act(ended: UInt64) throws(Failure) -> Bool {
    switch phase {
    case .finished: return false
    case .lurking(let until):
      guard ended >= until else { return false }
      try client.ask()
      phase = .aiming
      return false
    case .aiming:
      guard let status = try client.take() else { return false }
      try strike(status)
      return false
    case .watching(let before, let since, let next):
      return try watch(before, since, next, ended)
    }
  }

  private func strike(_ status: DeviceStatus) throws(Failure) {
    let attack = plan.last!.attack
    guard status.state == "running", let victim = attack == .killBroker ? status.broker : status.driver else {
      // Not there right now, by an accident that was not ours.
      return try client.ask()
    }
    let result = kill(victim, attack == .stop ? SIGSTOP : SIGKILL) < 0 ? -errno : 0
    // It has ended meanwhile, also by an accident that was not ours.
    if result == -ESRCH { return try client.ask() }
    try checked(result, "campaign-kill", "\(attack.rawValue) process \(victim)")
    let now = bh_monotonic_ns()
    phase = .watching(before: status, since: now, next: now + Self.askEvery)
  }

  private func watch(
    _ before: DeviceStatus, _ since: Nanoseconds, _ next: Nanoseconds, _ ended: UInt64
  ) throws(Failure) -> Bool {
    let now = bh_monotonic_ns()
    let attack = plan.last!.attack
    guard now - since < deadline else {
      throw Failure(
        "campaign-hang", "wait for the device after \(attack.rawValue) of generation \(before.generation)",
        errno: ETIMEDOUT)
    }
    if !client.isAsking, now >= next { try client.ask() }
    guard let status = try client.take() else { return false }
    let isNew = attack == .killBroker ? status.broker != before.broker : status.generation > before.generation
    guard status.state == "running", isNew else {
      phase = .watching(before: before, since: since, next: now + Self.askEvery)
      return false
    }
    recoveries.append(now - since)
    done[attack, default: 0] += 1
    plan.removeLast()
    phase = plan.last.map { .lurking(until: ended + $0.gap) } ?? .finished
    return true
  }
}
