/// Why a request ends with an error: the number for programs, the text for people.
///
/// The numbers are those of the book's section "Error values", and of the sections of the commands.
enum Complaint: UInt8, CaseIterable {
  case none
  case readOnly
  case outside
  case beyondEnd
  case unaligned
  case tooLong
  case tooLongToRead
  case flag
  case flushRange
  case notOffered
  case noContext
  case emptyStatus
  /// The device has failed; the number is its own, see ``CompletionStatus``.
  case device
  case shutdown

  var error: UInt32 {
    switch self {
    case .none: NBD.ErrorCode.none
    case .readOnly: NBD.ErrorCode.notPermitted
    case .beyondEnd: NBD.ErrorCode.noSpace
    case .tooLongToRead: NBD.ErrorCode.overflow
    case .device: NBD.ErrorCode.ioError
    case .shutdown: NBD.ErrorCode.shutdown
    case .outside, .unaligned, .tooLong, .flag, .flushRange, .notOffered, .noContext, .emptyStatus:
      NBD.ErrorCode.invalid
    }
  }

  /// At most ``longestText`` bytes.
  var text: StaticString {
    switch self {
    case .none: ""
    case .readOnly: "the export is read-only"
    case .outside, .beyondEnd: "the range ends beyond the end of the export"
    case .unaligned: "offset and length must be multiples of the block size"
    case .tooLong, .tooLongToRead: "longer than the maximum payload"
    case .flag: "a flag that this command does not have, or that was not offered"
    case .flushRange: "a flush has no offset and no length"
    case .notOffered: "a command that was not offered"
    case .noContext: "no metadata context was negotiated"
    case .emptyStatus: "the status of nothing"
    case .device: "the device reports an error"
    case .shutdown: "the server is shutting down"
    }
  }

  static let longestText = 64
}
