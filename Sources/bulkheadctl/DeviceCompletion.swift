import ArgumentParser
import Control
import Glibc
import PCI

extension CompletionKind {
  /// Addresses of devices, and the names of those that are configured.
  static var device: CompletionKind {
    .custom { _, _, prefix in
      let reply: Service.DevicesReply? = ask(.list, Service.ListParameters(all: true))
      let words = reply.map { $0.devices.flatMap { [$0.name, $0.address].compactMap { $0 } } }
      // Without a daemon, or its permission, what there is on the machine will do.
      let devices = words ?? ((try? PCIBus().devices()) ?? []).filter { !$0.isBridge }.map(\.address.description)
      return offered(devices, to: prefix)
    }
  }

  /// Names of drivers that can be used, and the words that stand for none in particular.
  static var driver: CompletionKind {
    .custom { _, _, prefix in
      let reply: Service.DriversReply? = ask(.drivers, Service.NoParameters())
      let drivers = reply?.drivers ?? (try? ConfigurationFiles.parse([]).report())?.drivers ?? []
      return offered(["auto", "none"] + drivers.filter(\.issues.isEmpty).map(\.name), to: prefix)
    }
  }

  /// Whoever has pressed Tab does not wait for ever.
  private static func ask<Reply: Decodable>(_ method: Service.Method, _ parameters: some Codable & Sendable) -> Reply? {
    try? VarlinkClient(socket: RuntimeFolder.clientSocket, timeout: 2).call(method, parameters)
  }

  private static func offered(_ words: [String], to prefix: String) -> [String] {
    words.filter { $0.hasPrefix(prefix) }
      .map { CompletionWord.text($0, isForZsh: CompletionShell.requesting == .zsh) }
  }
}
