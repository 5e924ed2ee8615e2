import ArgumentParser
import Control

struct Detach: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Give a device back to the kernel's own driver, although the configuration names it.",
    discussion: """
      It lasts until attach or the next boot; with --permanent, at each boot: what attach --permanent has written is \
      removed, and where another file names the device, /etc/bulkhead/bulkhead.d/50-detach-ADDRESS.toml overrules that \
      with driver = "kernel". Other files are never changed.
      """)

  @OptionGroup var options: GlobalOptions

  @Flag(help: "Even if its block device is in use; what is not written yet is lost.")
  var force = false

  @Flag(help: "At each boot from now on.")
  var permanent = false

  @Argument(help: "Address or name.", completion: .device)
  var device: String

  func run() throws {
    try options.operate(
      .detach,
      Service.DetachParameters(device: device, force: force ? true : nil, permanent: permanent ? true : nil))
  }
}
