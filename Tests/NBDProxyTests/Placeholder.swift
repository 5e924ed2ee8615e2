import Testing
@testable import NBDProxy
