/// A protocol as data: its states, its events, and every permitted step. What is not in the table is a violation.
public struct StateMachine<State: Hashable & CaseIterable & Sendable, Event: Hashable & CaseIterable & Sendable>:
  Sendable
{
  /// One permitted step.
  public struct Step: Hashable, Sendable {
    public var from: State
    public var event: Event
    public var to: State

    public init(_ from: State, _ event: Event, _ to: State) {
      self.from = from
      self.event = event
      self.to = to
    }
  }

  private struct Key: Hashable, Sendable {
    var state: State
    var event: Event
  }

  /// What the machine is for, used as the title of its page.
  public let name: String
  public let initial: State
  /// In the order of declaration.
  public let steps: [Step]
  private let table: [Key: State]

  public init(name: String, initial: State, steps: [Step]) {
    self.name = name
    self.initial = initial
    self.steps = steps
    table = Dictionary(steps.map { (Key(state: $0.from, event: $0.event), $0.to) }) { first, second in
      preconditionFailure("two steps for one event: \(first), \(second)")
    }
  }

  /// Where `event` leads from `state`, or nil where it is not permitted.
  public func next(_ state: State, _ event: Event) -> State? { table[Key(state: state, event: event)] }

  /// The table as a page of Markdown.
  public var markdown: String {
    var text = "## \(name)\n\nBegins in `\(initial)`. Whatever is not listed is refused.\n\n"
    text += "| state | event | next state |\n| --- | --- | --- |\n"
    for step in steps { text += "| `\(step.from)` | `\(step.event)` | `\(step.to)` |\n" }
    return text
  }
}

/// A state machine in motion.
public struct Monitor<State: Hashable & CaseIterable & Sendable, Event: Hashable & CaseIterable & Sendable>: Sendable {
  public let machine: StateMachine<State, Event>
  public private(set) var state: State

  public init(_ machine: StateMachine<State, Event>) {
    self.machine = machine
    state = machine.initial
  }

  /// Takes the step for `event`. False, and no step, where the table has none.
  public mutating func advance(_ event: Event) -> Bool {
    guard let next = machine.next(state, event) else { return false }
    state = next
    return true
  }
}
