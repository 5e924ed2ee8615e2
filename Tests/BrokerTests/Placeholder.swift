import Testing
@testable import Broker
