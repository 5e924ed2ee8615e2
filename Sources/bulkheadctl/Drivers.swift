import ArgumentParser
import Control

struct Drivers: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "The installed drivers, what they claim, and which devices have them; works without bulkheadd too.",
    discussion: "What is wrong with a manifest goes to standard error; a driver with a broken one cannot be used.")

  @OptionGroup var options: GlobalOptions
  @OptionGroup var files: ConfigurationFiles

  func run() throws {
    let drivers = try options.ask(
      .drivers, Service.NoParameters(), unless: files.areNamed,
      { (reply: Service.DriversReply) in reply.drivers }, else: { try files.report().drivers })
    if options.json { return print(JSON.pretty(drivers)) }
    print(DriverTable.text(drivers, legend: !options.noLegend, style: options.style), terminator: "")
    for issue in drivers.flatMap(\.issues) { writeError(String(issue.text.dropLast())) }
  }
}
