import DriverKit

BlockDriverMain.run(HostileDriver.self)
