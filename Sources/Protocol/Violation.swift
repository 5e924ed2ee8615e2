/// What a driver or its device did that it must not do. Each kind has a stable name, is counted, and has a consequence
/// that the supervisor's policy decides.
public enum Violation: UInt16, CaseIterable, Sendable {
  /// Bytes on the control socket that are no message.
  case malformedMessage = 1
  /// A message that the conversation does not permit at this point.
  case illegalTransition
  /// More messages than a driver has any reason to send.
  case messageFlood
  /// A config-space access that is not on the allow-list.
  case configDenied
  /// A unit that contradicts an earlier one or itself.
  case unitInvalid
  /// The device has become smaller, or another, under its outlet.
  case geometryChanged
  /// The used ring's index went where no request is.
  case usedIndexInvalid
  /// A completion for something that is not in flight.
  case completionUnknown
  /// A completion with the tag of an earlier request.
  case completionStale
  /// A status, errno or length that no request can have.
  case completionInvalid
  /// More interrupts than the device has any reason to send.
  case interruptStorm
  /// The IOMMU refused a DMA access of the device.
  case dmaFault
  /// A descriptor that names memory outside the arena, goes the wrong way, or belongs to a chain that does not end.
  case descriptorInvalid
  /// The available ring's index went further than the queue is long.
  case availIndexInvalid
  /// A frame that is none: too short, too long, or with a header that contradicts it.
  case frameInvalid

  /// The stable name, such as `dma-fault`.
  public var name: String {
    switch self {
    case .malformedMessage: "malformed-message"
    case .illegalTransition: "illegal-transition"
    case .messageFlood: "message-flood"
    case .configDenied: "config-denied"
    case .unitInvalid: "unit-invalid"
    case .geometryChanged: "geometry-changed"
    case .usedIndexInvalid: "used-index-invalid"
    case .completionUnknown: "completion-unknown"
    case .completionStale: "completion-stale"
    case .completionInvalid: "completion-invalid"
    case .interruptStorm: "interrupt-storm"
    case .dmaFault: "dma-fault"
    case .descriptorInvalid: "descriptor-invalid"
    case .availIndexInvalid: "avail-index-invalid"
    case .frameInvalid: "frame-invalid"
    }
  }
}
