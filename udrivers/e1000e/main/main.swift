import DriverKit
import E1000E

NetworkDriverMain.run(E1000EDriver.self)
