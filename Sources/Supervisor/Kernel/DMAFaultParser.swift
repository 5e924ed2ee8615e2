import PCI

/// Understands what the IOMMU drivers of Linux write about refused DMA.
///
/// Intel: `dmar_fault_do_one` in drivers/iommu/intel/dmar.c; AMD: `amd_iommu_report_page_fault` and `iommu_print_event` in
/// drivers/iommu/amd/iommu.c; Arm: `arm_smmu_handle_event` in drivers/iommu/arm/arm-smmu-v3 and
/// `arm_smmu_context_fault` in arm-smmu. All have changed their format over the years, so the parser looks for parts.
public struct DMAFaultParser: Sendable {
  /// The words of an SMMUv3 event so far, by the SMMU's name.
  private var smmuEvent: (source: String, id: UInt64, words: [UInt64])?

  public init() {}

  /// - Parameter line: a message of the kernel's log without its time.
  public mutating func take(_ line: String) -> DMAFault? {
    let text = String(line.unicodeScalars.filter { (0x20...0x7e).contains($0.value) }.map(Character.init)).trimmed
    if text.contains("arm-smmu-v3") { return smmuVersion3(text) }
    if text.contains("arm-smmu"), text.contains("cbfrsynra=") { return smmuVersion2(text) }
    if text.hasPrefix("DMAR"), text.contains("Request device [") { return intel(text) }
    if text.contains("AMD-Vi: Event logged [") { return amd(text) }
    return suppressed(text)
  }

  /// `DMAR: [DMA Write NO_PASID] Request device [01:00.0] fault addr 0x2000 [fault reason 0x05] PTE Write access is not set`
  private func intel(_ text: String) -> DMAFault? {
    guard let inside = text.between("Request device [", "]"), let requester = Self.requester(inside) else { return nil }
    let kind = text.between("[", "]") ?? ""
    let address = text.word(after: "fault addr ").flatMap(Self.number)
    let reason = text.after("[fault reason ").flatMap { $0.after("]") } ?? ""
    return DMAFault(
      requester: requester, access: kind.hasPrefix("INTR-REMAP") ? "interrupt" : Self.access(kind), address: address,
      reason: reason.trimmed, text: text)
  }

  /// `vfio-pci 0000:01:00.0: AMD-Vi: Event logged [IO_PAGE_FAULT domain=0x0014 address=0xfee00000 flags=0x0020]`,
  /// formerly `AMD-Vi: Event logged [IO_PAGE_FAULT device=01:00.0 domain=...]`.
  private func amd(_ text: String) -> DMAFault? {
    guard let inside = text.after("AMD-Vi: Event logged ["), let kind = inside.split(separator: " ").first,
      ["IO_PAGE_FAULT", "INVALID_DEVICE_REQUEST", "ILLEGAL_DEV_TABLE_ENTRY"].contains(kind)
    else { return nil }
    var requester: DMAFault.Requester?
    if let device = inside.word(after: "device=") { requester = Self.requester(device) }
    if requester == nil, let prefix = text.components(separatedBy: ": AMD-Vi:").first {
      requester = prefix.split(separator: " ").last.flatMap { Self.requester(String($0)) }
    }
    guard let requester else { return nil }
    // AMD I/O Virtualization specification, event log: bit 5 of the flags (RW) is set for a write.
    let flags = inside.word(after: "flags=").flatMap(Self.number)
    let access = flags.map { $0 & 0x20 != 0 ? "write" : "read" } ?? "access"
    return DMAFault(
      requester: requester, access: access, address: inside.word(after: "address=").flatMap(Self.number),
      reason: String(kind), text: text)
  }

  /// `event 0x10 received:` and then four lines of 64 bits; since 6.15 one line `event: F_TRANSLATION client: ...`.
  private mutating func smmuVersion3(_ text: String) -> DMAFault? {
    guard let colon = text.firstRange(of: ": ") else { return nil }
    let source = String(text[..<colon.lowerBound])
    let message = String(text[colon.upperBound...]).trimmed
    if message.hasPrefix("event: ") {
      guard let stream = message.word(after: "sid: ").flatMap(Self.number) else { return nil }
      let client = message.word(after: "client: ").flatMap { Self.requester($0) }
      return DMAFault(
        requester: client ?? Self.requester(stream: stream), access: "access",
        address: message.word(after: "iova: ").flatMap(Self.number), reason: message.word(after: "event: ") ?? "",
        text: text)
    }
    if let id = message.word(after: "event ").flatMap(Self.number), message.contains("received") {
      smmuEvent = (source, id, [])
      return nil
    }
    guard var event = smmuEvent, event.source == source, let word = Self.number(message) else { return nil }
    event.words.append(word)
    smmuEvent = event
    guard event.words.count == 4 else { return nil }
    smmuEvent = nil
    // Arm SMMUv3 specification 7.3: the event's number, bits 63:32 the stream, word 1 bit 35 RnW, word 2 the address.
    return DMAFault(
      requester: Self.requester(stream: event.words[0] >> 32),
      access: event.words[1] >> 35 & 1 == 1 ? "read" : "write", address: event.words[2],
      reason: Self.smmuReasons[event.id] ?? "event 0x" + String(event.id, radix: 16), text: text)
  }

  private static let smmuReasons: [UInt64: String] = [
    0x02: "C_BAD_STREAMID", 0x10: "F_TRANSLATION", 0x11: "F_ADDR_SIZE", 0x12: "F_ACCESS", 0x13: "F_PERMISSION",
  ]

  /// `Unhandled context fault: fsr=0x402, iova=0x2000, fsynr=0x11, cbfrsynra=0x100, cb=0`
  private func smmuVersion2(_ text: String) -> DMAFault? {
    guard let stream = text.word(after: "cbfrsynra=").flatMap(Self.number) else { return nil }
    // Arm SMMUv2 specification 16.6.10: FSYNR0 bit 4 is WNR.
    let syndrome = text.word(after: "fsynr=").flatMap(Self.number) ?? text.word(after: "fsynr0=").flatMap(Self.number)
    return DMAFault(
      requester: Self.requester(stream: stream),
      access: syndrome.map { $0 & 0x10 != 0 ? "write" : "read" } ?? "access",
      address: text.word(after: "iova=").flatMap(Self.number), reason: "context fault", text: text)
  }

  /// `dmar_fault: 12 callbacks suppressed`: the kernel limits its log.
  private func suppressed(_ text: String) -> DMAFault? {
    guard text.hasSuffix("callbacks suppressed"),
      ["dmar_fault: ", "amd_iommu_report_page_fault: ", "arm_smmu_context_fault: ", "arm_smmu_evtq_thread: "]
        .contains(where: text.hasPrefix),
      let count = text.word(after: ": ").flatMap({ Int($0) }), count > 0
    else { return nil }
    return DMAFault(requester: .previous, access: "access", address: nil, reason: "", count: count, text: text)
  }

  /// `01:00.0`, `0000:01:00.0`, each part with or without `0x`.
  private static func requester(_ text: String) -> DMAFault.Requester? {
    let plain = text.components(separatedBy: "0x").joined().lowercased()
    var parts = plain.split(separator: ":", omittingEmptySubsequences: false).map(String.init)
    guard parts.count == 2 || parts.count == 3, let tail = parts.popLast() else { return nil }
    let hasSegment = parts.count == 2
    let bus = parts.removeLast().leftPadded(to: 2)
    let function = tail.split(separator: ".").map(String.init)
    guard function.count == 2 else { return nil }
    let segment = (parts.first ?? "0").leftPadded(to: 4)
    guard let address = PCIAddress("\(segment):\(bus):\(function[0].leftPadded(to: 2)).\(function[1])") else {
      return nil
    }
    return hasSegment ? .address(address) : .anySegment(address)
  }

  /// A stream id is the requester id where firmware maps them one to one, which is what servers do.
  private static func requester(stream: UInt64) -> DMAFault.Requester {
    let rid = UInt16(truncatingIfNeeded: stream)
    let address = PCIAddress(bus: UInt8(rid >> 8), device: UInt8(rid >> 3 & 0x1f), function: UInt8(rid & 7))
    return address.map { .anySegment($0) } ?? .previous
  }

  private static func access(_ kind: String) -> String {
    if kind.contains("Write") { return "write" }
    return kind.contains("Read") ? "read" : "access"
  }

  /// Hexadecimal with or without `0x`.
  private static func number(_ text: String) -> UInt64? {
    UInt64(text.hasPrefix("0x") ? text.dropFirst(2) : text[...], radix: 16)
  }
}

extension String {
  fileprivate var trimmed: String {
    var view = self[...]
    while view.first == " " { view = view.dropFirst() }
    while view.last == " " { view = view.dropLast() }
    return String(view)
  }

  fileprivate func after(_ marker: String) -> String? {
    firstRange(of: marker).map { String(self[$0.upperBound...]) }
  }

  fileprivate func between(_ marker: String, _ end: String) -> String? {
    guard let rest = after(marker), let stop = rest.firstRange(of: end) else { return nil }
    return String(rest[..<stop.lowerBound])
  }

  /// The word that begins right behind `marker`, without punctuation at its end.
  fileprivate func word(after marker: String) -> String? {
    guard let rest = after(marker) else { return nil }
    let word = rest.prefix { $0 != " " && $0 != "," && $0 != "]" }
    return word.isEmpty ? nil : String(word)
  }

  fileprivate func leftPadded(to count: Int) -> String {
    String(repeating: "0", count: max(0, count - self.count)) + self
  }
}
