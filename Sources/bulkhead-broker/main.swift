import Broker
import Glibc
import NBDProxy
import Platform
import TAPProxy

exit(
  BrokerProcess.run(openDevice: BrokerDevice.vfio) { context throws(Failure) -> any Proxy in
    switch context.configuration.deviceClass {
    case .block: return try NBDProxy(context)
    case .network: return try TAPProxy(context)
    }
  })
