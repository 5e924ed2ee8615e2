import CBulkhead
import Platform

/// An asynchronous event: type, information and log page (NVMe 1.4 figure 147).
struct AsynchronousEvent {
  var type: UInt8
  var information: UInt8
  var logPage: UInt8

  static let invalidDoorbellValue = AsynchronousEvent(type: 0, information: 1, logPage: 1)

  var dword: UInt32 { UInt32(type) | UInt32(information) << 8 | UInt32(logPage) << 16 }
}

/// Asynchronous events and log pages (NVMe 1.4 sections 5.2 and 5.14).
extension NVMeController {
  func requestEvent(_ command: NVMeCommand) -> CommandResult {
    guard eventRequests.count < Self.eventRequestLimit else { return .failed(.eventRequestLimit) }
    if !pendingEvents.isEmpty { return CommandResult(status: .success, value: pendingEvents.removeFirst()) }
    eventRequests.append(command.identifier)
    return .held
  }

  /// Tells of an event now if there is a request for it, at the next request otherwise. A type is silent after that until
  /// its log page is read.
  func report(_ event: AsynchronousEvent) {
    guard maskedEvents & 1 << event.type == 0 else { return }
    maskedEvents |= 1 << event.type
    guard let identifier = eventRequests.first, hasRoom(0) else {
      pendingEvents.append(event.dword)
      return
    }
    eventRequests.removeFirst()
    post(0, identifier, CommandResult(status: .success, value: event.dword), head: submissions[0].head)
    interrupt(0)
  }

  func getLogPage(_ command: NVMeCommand) -> CommandResult {
    let page = UInt8(truncatingIfNeeded: command.dword10)
    let dwords = UInt64(command.dword10 >> 16) | UInt64(command.dword11 & 0xFFFF) << 16
    let length = (dwords + 1) * 4
    let offset = UInt64(command.dword12) | UInt64(command.dword13) << 32
    let size: UInt64
    switch page {
    case 1: size = 64  // error information, one entry, which says nothing
    case 2: size = 512  // SMART
    case 3: size = 512  // firmware slots
    default: return .failed(.invalidLogPage)
    }
    guard offset & 3 == 0, offset <= size, length <= UInt64(Self.pageBytes) else { return .failed(.invalidField) }
    clearScratch()
    fillLogPage(page)
    let shift = Int(offset)
    for index in 0..<Self.pageBytes - shift {
      scratch.storeBytes(
        of: scratch.load(fromByteOffset: index + shift, as: UInt8.self), toByteOffset: index, as: UInt8.self)
    }
    let result = sendScratch(command, Int(length))
    // Retain Asynchronous Event, dword 10 bit 15.
    if result.status == .success, page == 1, command.dword10 & 1 << 15 == 0 { maskedEvents &= ~1 }
    return result
  }

  private func fillLogPage(_ page: UInt8) {
    if page == 2 {
      // Composite temperature in kelvin, available spare and its threshold in percent (figure 196).
      scratch.storeBytes(of: 300, toByteOffset: 1, as: UInt16.self)
      scratch.storeBytes(of: 100, toByteOffset: 3, as: UInt8.self)
      scratch.storeBytes(of: 10, toByteOffset: 4, as: UInt8.self)
    } else if page == 3 {
      scratch.storeBytes(of: 1, toByteOffset: 0, as: UInt8.self)
      put("1.0", at: 8, length: 8)
    }
  }

  /// Text padded with spaces (section 1.5).
  func put(_ text: String, at offset: Int, length: Int) {
    var index = 0
    for byte in text.utf8 where index < length {
      scratch.storeBytes(of: byte, toByteOffset: offset + index, as: UInt8.self)
      index += 1
    }
    while index < length {
      scratch.storeBytes(of: UInt8(ascii: " "), toByteOffset: offset + index, as: UInt8.self)
      index += 1
    }
  }
}
