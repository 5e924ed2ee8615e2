import Testing

@testable import Protocol

@Suite struct DriverConversationTests {
  typealias State = DriverConversation.State
  typealias Event = DriverConversation.Event

  /// Drives a monitor along the table to `state`; the table must have a way.
  private func monitor(in state: State) throws -> Monitor<State, Event> {
    var paths: [State: [Event]] = [DriverConversation.machine.initial: []]
    var queue = [DriverConversation.machine.initial]
    while !queue.isEmpty {
      let from = queue.removeFirst()
      for step in DriverConversation.machine.steps where step.from == from && paths[step.to] == nil {
        paths[step.to] = paths[from]! + [step.event]
        queue.append(step.to)
      }
    }
    let path = try #require(paths[state], "\(state) cannot be reached")
    var monitor = Monitor(DriverConversation.machine)
    for event in path {
      let advanced = monitor.advance(event)
      #expect(advanced)
    }
    return monitor
  }

  @Test(arguments: State.allCases)
  func everyTransitionThatIsNotDeclaredIsRefused(state: State) throws {
    let permitted = Set(DriverConversation.machine.steps.filter { $0.from == state }.map(\.event))
    for event in Event.allCases {
      var monitor = try monitor(in: state)
      let advanced = monitor.advance(event)
      #expect(advanced == permitted.contains(event), "\(state) \(event)")
      if !advanced { #expect(monitor.state == state, "a refused event must not move the machine") }
    }
  }

  @Test func terminalStatesAreFinal() {
    for state in [State.stopped, .failed] {
      #expect(!DriverConversation.machine.steps.contains { $0.from == state })
    }
  }

  @Test func theDriverCanGiveUpFromWhereverItLives() {
    for state in State.allCases where state != .stopped && state != .failed {
      #expect(DriverConversation.machine.next(state, .driver(.failed)) == .failed)
    }
  }

  @Test func requestsFlowOnlyAfterTheWholeHandshake() {
    var monitor = Monitor(DriverConversation.machine)
    for event: Event in [.driver(.hello), .broker(.grant), .driver(.blockUnit), .driver(.ready), .broker(.start)] {
      #expect(monitor.state != .serving)
      let advanced = monitor.advance(event)
      #expect(advanced)
    }
    #expect(monitor.state == .serving)
  }

  @Test func thePageNamesEveryStep() {
    let page = DriverConversation.machine.markdown
    for step in DriverConversation.machine.steps {
      #expect(page.contains("| `\(step.from)` | `\(step.event)` | `\(step.to)` |"))
    }
  }
}
