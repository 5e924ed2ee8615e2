import Platform

/// What is asked of the kernel for a device, or for those of a group that go together, in a form that another process can
/// carry out: a kernel driver may take minutes to let a device go, or never do so.
public struct BindingOrder: Codable, Sendable, Equatable {
  public enum Action: String, Codable, Sendable {
    /// ``Binder/prepare(_:)``; of the records only the addresses count.
    case prepare
    /// ``Binder/bindAll(_:)``
    case bind
    /// ``Binder/release(_:)``, of each.
    case release
  }

  public var action: Action
  public var records: [BindingRecord]
  /// Where sysfs is.
  public var sys = KernelTree().sys

  public init(_ action: Action, _ records: [BindingRecord]) {
    self.action = action
    self.records = records
  }

  /// Asks how the devices are now.
  public init(preparing addresses: [PCIAddress]) {
    self.init(.prepare, addresses.map { BindingRecord(address: $0, formerDriver: nil, formerOverride: nil) })
  }

  public var addresses: [PCIAddress] { records.map(\.address) }

  /// Returns when the kernel has done it, or refuses.
  public func carryOut() -> BindingAnswer {
    let binder = Binder(sysfs: KernelTree(sys: sys))
    var answer = BindingAnswer()
    switch action {
    case .prepare: answer.take(records) { record throws(Failure) in try binder.prepare(record.address) }
    case .bind:
      do throws(Failure) {
        try binder.bindAll(records)
        answer.records = records
      } catch { answer.failures = [error] }
    case .release:
      answer.take(records) { record throws(Failure) in
        try binder.release(record)
        return record
      }
    }
    return answer
  }
}

/// What came of a ``BindingOrder``.
public struct BindingAnswer: Sendable, Equatable {
  /// The devices for which it is done; of a ``BindingOrder/Action/prepare``, as they were found.
  public var records: [BindingRecord]
  /// One for each of the others; of a ``BindingOrder/Action/bind`` one for all.
  public var failures: [Failure]

  public init(records: [BindingRecord] = [], failures: [Failure] = []) {
    self.records = records
    self.failures = failures
  }

  fileprivate mutating func take(
    _ records: [BindingRecord], _ step: (BindingRecord) throws(Failure) -> BindingRecord
  ) {
    for record in records {
      do throws(Failure) { self.records.append(try step(record)) } catch { failures.append(error) }
    }
  }
}

extension BindingAnswer: Codable {
  private enum Key: String, CodingKey { case records, failures }

  private struct Words: Codable {
    var code: String
    var step: String
    var errno: Int32
    var hint: String
  }

  public init(from decoder: any Decoder) throws {
    let values = try decoder.container(keyedBy: Key.self)
    records = try values.decode([BindingRecord].self, forKey: .records)
    failures = try values.decode([Words].self, forKey: .failures)
      .map { Failure($0.code, $0.step, errno: $0.errno, hint: $0.hint) }
  }

  public func encode(to encoder: any Encoder) throws {
    var values = encoder.container(keyedBy: Key.self)
    try values.encode(records, forKey: .records)
    try values.encode(
      failures.map { Words(code: $0.code, step: $0.step, errno: $0.errno, hint: $0.hint) }, forKey: .failures)
  }
}
