import Control
import Glibc

/// Understands calls and gives them to the daemon.
struct ServiceDispatch {
  private struct Information: Encodable {
    var vendor = "Bulkhead"
    var product = "bulkheadd"
    var version: String
    var url = "https://varlink.org"
    var interfaces = ["io.bulkhead", "org.varlink.service"]
  }

  private struct Description: Codable {
    var description: String
  }

  private struct InterfaceName: Decodable {
    var interface: String
  }

  let version: String
  /// Whoever runs the daemon may control it, beside root.
  var owner: uid_t = geteuid()
  let handler: any ServiceHandler

  func take(_ connection: VarlinkConnection, _ message: [UInt8]) {
    guard let head = try? JSON.decode(Varlink.CallHead.self, from: message) else {
      // Not varlink at all; there is no method to name in an answer.
      return connection.close()
    }
    let call = ServiceCall(connection: connection, head: head)
    switch head.method {
    case "org.varlink.service.GetInfo": call.reply(Information(version: version))
    case "org.varlink.service.GetInterfaceDescription":
      guard let name: InterfaceName = parameters(message, call) else { return }
      switch name.interface {
      case Service.interface: call.reply(Description(description: interfaceDescription))
      case "org.varlink.service": call.reply(Description(description: Self.serviceDescription))
      default: call.fail("InterfaceNotFound", ["interface": name.interface])
      }
    default:
      guard let method = Service.Method.allCases.first(where: { $0.qualifiedName == head.method }) else {
        return call.fail("MethodNotFound", ["method": head.method])
      }
      dispatch(method, message, call)
    }
  }

  private func dispatch(_ method: Service.Method, _ message: [UInt8], _ call: ServiceCall) {
    switch method {
    case .list:
      guard let parameters: Service.ListParameters = parameters(message, call) else { return }
      handler.list(all: parameters.all ?? false, call)
    case .status:
      guard let parameters: Service.DeviceParameters = parameters(message, call) else { return }
      handler.status(parameters.device, call)
    case .check:
      guard let parameters: Service.DeviceParameters = parameters(message, call) else { return }
      handler.check(parameters.device, call)
    case .monitor:
      guard call.wantsMore else { return call.fail("ExpectedMore", [:]) }
      handler.monitor(call)
    case .start, .stop, .restart:
      guard let parameters: Service.StopParameters = parameters(message, call) else { return }
      guard let device = parameters.device else { return call.fail("InvalidParameter", ["parameter": "device"]) }
      guard call.uid == 0 || call.uid == owner else {
        return call.fail(
          ServiceError(
            .permissionDenied, device: device,
            message: "only root and the user of bulkheadd may \(method.rawValue.lowercased()) a device",
            hint: "run the command as root"))
      }
      handler.operate(method, device, force: parameters.force ?? false, call)
    }
  }

  /// The parameters of a call; where they are not right, the call has been answered.
  private func parameters<Value: Decodable>(_ message: [UInt8], _ call: ServiceCall) -> Value? {
    do {
      if let value = try JSON.decode(Varlink.Parameters<Value>.self, from: message).parameters { return value }
      return try JSON.decode(Value.self, from: Array("{}".utf8))
    } catch let error as DecodingError {
      call.fail("InvalidParameter", ["parameter": Self.parameter(of: error)])
    } catch {
      call.fail("InvalidParameter", ["parameter": "parameters"])
    }
    return nil
  }

  private static func parameter(of error: DecodingError) -> String {
    switch error {
    case .typeMismatch(_, let context), .valueNotFound(_, let context):
      context.codingPath.last?.stringValue ?? "parameters"
    case .keyNotFound(let key, _): key.stringValue
    default: "parameters"
    }
  }

  /// Of varlink.org, as every service gives it.
  private static let serviceDescription = """
    interface org.varlink.service

    method GetInfo() -> (vendor: string, product: string, version: string, url: string, interfaces: []string)
    method GetInterfaceDescription(interface: string) -> (description: string)

    error InterfaceNotFound (interface: string)
    error MethodNotFound (method: string)
    error MethodNotImplemented (method: string)
    error InvalidParameter (parameter: string)
    error PermissionDenied ()
    error ExpectedMore ()

    """
}

/// What the service does; each call is answered once, now or later.
protocol ServiceHandler: AnyObject {
  func list(all: Bool, _ call: ServiceCall)
  func status(_ device: String?, _ call: ServiceCall)
  func check(_ device: String?, _ call: ServiceCall)
  func monitor(_ call: ServiceCall)
  /// Start, stop or restart, by root.
  func operate(_ method: Service.Method, _ device: String, force: Bool, _ call: ServiceCall)
}
