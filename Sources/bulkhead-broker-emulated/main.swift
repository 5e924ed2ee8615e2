// The broker of an emulated device: bulkhead-broker with another backing. The production broker has none of this in it.
import Broker
import Glibc
import NBDProxy
import Platform

exit(
  BrokerProcess.run(openDevice: BrokerDevice.emulated) { context throws(Failure) in
    switch context.configuration.deviceClass {
    case .block: return try NBDProxy(context)
    case .network: throw Failure("broker-class", "serve a network device", hint: "this broker serves block devices")
    }
  })
