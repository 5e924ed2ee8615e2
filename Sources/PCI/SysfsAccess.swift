import Platform

/// What binding needs of sysfs. Paths are relative to its root: `bus/pci/drivers_probe`.
///
/// The kernel answers writes here by changing links, which files in a directory cannot do; so tests put a small model of
/// the kernel behind this protocol.
public protocol SysfsAccess {
  /// The contents of an attribute without the newline at its end.
  func read(_ path: String) throws(Failure) -> String
  /// Writes an attribute in one write(2).
  func write(_ text: String, to path: String) throws(Failure)
  /// The last component of a symbolic link's target; `nil` if there is no such link.
  func linkName(_ path: String) -> String?
  func exists(_ path: String) -> Bool
  /// Gives the kernel some time (milliseconds) to finish something.
  func settle()
}
