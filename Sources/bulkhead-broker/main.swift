import Broker
import Glibc
import NBDProxy
import Platform

exit(
  BrokerProcess.run(openDevice: BrokerDevice.vfio) { context throws(Failure) in
    switch context.configuration.deviceClass {
    case .block: return try NBDProxy(context)
    case .network: throw Failure("broker-class", "serve a network device", hint: "this broker serves block devices")
    }
  })
