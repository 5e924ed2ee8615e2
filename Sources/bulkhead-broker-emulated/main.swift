// The broker of an emulated device: bulkhead-broker with another backing. The production broker has none of this in it.
import Broker
import Glibc
import NBDProxy
import Platform
import TAPProxy

exit(
  BrokerProcess.run(openDevice: BrokerDevice.emulated) { context throws(Failure) -> any Proxy in
    switch context.configuration.deviceClass {
    case .block: return try NBDProxy(context)
    case .network: return try TAPProxy(context)
    }
  })
