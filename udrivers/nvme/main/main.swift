import DriverKit
import NVMe

BlockDriverMain.run(NVMeDriver.self)
