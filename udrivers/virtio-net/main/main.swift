import DriverKit
import VirtioNet

NetworkDriverMain.run(VirtioNetDriver.self)
