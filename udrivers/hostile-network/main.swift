import DriverKit

NetworkDriverMain.run(HostileNetworkDriver.self)
