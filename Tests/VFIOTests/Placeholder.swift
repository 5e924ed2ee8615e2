import Testing
@testable import VFIO
