import ArgumentParser
import Control

struct Attach: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Give a device to Bulkhead, and start its driver; waits until it serves, or cannot.",
    discussion: """
      For devices that the configuration does not name, and for those that were detached or stopped. The checks are those \
      of a configured device: nothing that is in use is taken, and what is refused is as it was.

      It lasts until detach or the next boot, over restarts of bulkheadd and reloads too; with --permanent it is also \
      written to /etc/bulkhead/bulkhead.d/50-attach-ADDRESS.toml. Other files are never changed.
      """)

  @OptionGroup var options: GlobalOptions

  @Option(
    help: "Name of an installed driver; auto: the one that claims the device; none: only hold it. (default: auto)",
    completion: .driver)
  var driver: String?

  @Option(help: "A name for it. (default: from the address)")
  var name: String?

  @Flag(help: "At each boot from now on.")
  var permanent = false

  @Argument(help: "Address, or a name of the configuration.", completion: .device)
  var device: String

  func run() throws {
    try options.operate(
      .attach,
      Service.AttachParameters(device: device, driver: driver, name: name, permanent: permanent ? true : nil))
  }
}
