import Testing
@testable import DriverKit
