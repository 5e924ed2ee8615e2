import DriverKit

BlockDriverMain.run(EduDisk.self)
