import Platform

@testable import Supervisor

/// For devices that are taken and given back at once.
extension DeviceSession {
  func prepare() -> PrepareOutcome {
    var outcome: PrepareOutcome?
    prepare { outcome = $0 }
    return outcome ?? .failed(Failure("rig", "prepare: it is not over"))
  }

  func release(isGone: Bool) -> Failure? {
    var failure: Failure? = Failure("rig", "release: it is not over")
    release(isGone: isGone) { failure = $0 }
    return failure
  }
}
