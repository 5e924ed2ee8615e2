/// A reason not to take a device away from the kernel.
public struct Refusal: Sendable, Equatable, CustomStringConvertible {
  /// Stable: `disk-mounted`, `disk-swap`, `disk-held`, `disk-claimed`, `interface-in-use`, `interface-enslaved`,
  /// `pci-bridge`, `iommu-missing`, `interrupt-remapping-missing`, `unsafe-interrupts`, `unsafe-noiommu`,
  /// `group-not-viable`.
  public var code: String
  /// What is in the way, and where.
  public var message: String
  /// What to do about it.
  public var hint: String
  /// Whether `force` in the device's configuration overrides it.
  public var overridable: Bool

  public init(code: String, message: String, hint: String, overridable: Bool) {
    self.code = code
    self.message = message
    self.hint = hint
    self.overridable = overridable
  }

  public var description: String { "\(code): \(message)\nHint: \(hint)" }
}
