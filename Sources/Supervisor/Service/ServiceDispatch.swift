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
    case "org.varlink.service.GetInfo":
      guard let _: Service.NoParameters = parameters(message, [], call) else { return }
      call.reply(Information(version: version))
    case "org.varlink.service.GetInterfaceDescription":
      guard let name: InterfaceName = parameters(message, ["interface"], call) else { return }
      switch name.interface {
      case Service.interface: call.reply(Description(description: interfaceDescription))
      case "org.varlink.service": call.reply(Description(description: Self.serviceDescription))
      default: call.fail("InterfaceNotFound", ["interface": name.interface])
      }
    default:
      guard let method = Service.Method.allCases.first(where: { $0.qualifiedName == head.method }) else {
        return unknown(head.method, call)
      }
      dispatch(method, message, call)
    }
  }

  private func unknown(_ method: String, _ call: ServiceCall) {
    let interface = method.lastIndex(of: ".").map { String(method[..<$0]) } ?? ""
    if Information(version: version).interfaces.contains(interface) {
      call.fail("MethodNotFound", ["method": method])
    } else {
      call.fail("InterfaceNotFound", ["interface": interface])
    }
  }

  private func dispatch(_ method: Service.Method, _ message: [UInt8], _ call: ServiceCall) {
    func read<Value: Decodable>() -> Value? { parameters(message, method.parameters, call) }
    switch method {
    case .list:
      guard let parameters: Service.ListParameters = read() else { return }
      handler.list(all: parameters.all ?? false, call)
    case .status, .check, .showConfiguration, .resetFailed:
      guard let parameters: Service.DeviceParameters = read(), isPermitted(method, parameters.device, call) else {
        return
      }
      let device = parameters.device
      switch method {
      case .status: handler.status(device, call)
      case .check: handler.check(device, call)
      case .showConfiguration: handler.showConfiguration(device, call)
      default: handler.resetFailed(device, call)
      }
    case .monitor, .drivers, .checkConfiguration:
      guard let _: Service.NoParameters = read() else { return }
      switch method {
      case .drivers: handler.drivers(call)
      case .checkConfiguration: handler.checkConfiguration(call)
      default:
        guard call.wantsMore else { return call.fail("ExpectedMore", [:]) }
        handler.monitor(call)
      }
    case .start, .stop, .restart:
      guard let parameters: Service.StopParameters = read(),
        let device = named(parameters.device, method, call)
      else { return }
      handler.operate(method, device, force: parameters.force ?? false, call)
    case .attach:
      guard let parameters: Service.AttachParameters = read(), named(parameters.device, method, call) != nil else {
        return
      }
      handler.attach(parameters, call)
    case .detach:
      guard let parameters: Service.DetachParameters = read(), named(parameters.device, method, call) != nil else {
        return
      }
      handler.detach(parameters, call)
    }
  }

  /// The device of a call that has to name one and may; otherwise the call has been answered.
  private func named(_ device: String?, _ method: Service.Method, _ call: ServiceCall) -> String? {
    guard let device else {
      call.fail("InvalidParameter", ["parameter": "device"])
      return nil
    }
    return isPermitted(method, device, call) ? device : nil
  }

  private func isPermitted(_ method: Service.Method, _ device: String?, _ call: ServiceCall) -> Bool {
    if !method.changes || call.uid == 0 || call.uid == owner { return true }
    call.fail(
      ServiceError(
        .permissionDenied, device: device ?? "",
        message: "only root and the user of bulkheadd may \(method.words)", hint: "run the command as root"))
    return false
  }

  /// Takes the place of what a caller says in vain.
  private struct Anything: Decodable {
    init(from decoder: any Decoder) {}
  }

  /// The parameters of a call; where they are not right, the call has been answered.
  /// - Parameter names: of those that the method has.
  private func parameters<Value: Decodable>(_ message: [UInt8], _ names: [String], _ call: ServiceCall) -> Value? {
    do {
      let given = try JSON.decode(Varlink.Parameters<[String: Anything]>.self, from: message).parameters ?? [:]
      if let stranger = given.keys.filter({ !names.contains($0) }).sorted().first {
        call.fail("InvalidParameter", ["parameter": stranger])
        return nil
      }
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
  func drivers(_ call: ServiceCall)
  func showConfiguration(_ device: String?, _ call: ServiceCall)
  func checkConfiguration(_ call: ServiceCall)
  /// Start, stop or restart; like those below by root.
  func operate(_ method: Service.Method, _ device: String, force: Bool, _ call: ServiceCall)
  func attach(_ parameters: Service.AttachParameters, _ call: ServiceCall)
  func detach(_ parameters: Service.DetachParameters, _ call: ServiceCall)
  func resetFailed(_ device: String?, _ call: ServiceCall)
}

extension Service.Method {
  /// What it does, behind "may".
  fileprivate var words: String {
    switch self {
    case .resetFailed: "reset what has failed"
    default: "\(rawValue.lowercased()) a device"
    }
  }
}
