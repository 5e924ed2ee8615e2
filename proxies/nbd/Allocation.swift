/// What `base:allocation` says of a range ("base:allocation metadata context").
struct AllocationExtent: Equatable {
  /// Bytes from where was asked; not 0, and not more than was asked for.
  var length: UInt32
  /// `NBD_STATE_HOLE` (1) and `NBD_STATE_ZERO` (2).
  var state: UInt32
}

/// What a unit can say of the allocation of its blocks.
enum Allocation {
  /// Nothing. NVMe has no command that tells a deallocated block from a written one ("Get LBA Status", NVMe 2.0 NVM
  /// command set section 4.2.1, reports blocks that may have been lost, no others).
  case unknown

  /// The first extent at `offset`, of at most `length` bytes.
  ///
  /// One extent an answer is always enough: a server may describe less than it was asked for, and the client asks on
  /// from there ("NBD_REPLY_TYPE_BLOCK_STATUS"). A unit that can say becomes another case; where it has to ask its
  /// driver, the request goes through the dispatcher, and what comes back is a ``Request/allocation`` and its length.
  func extent(at offset: UInt64, length: UInt32) -> AllocationExtent {
    switch self {
    // 0 is what a server may say of any block: allocated, as far as it knows, and with any content.
    case .unknown: AllocationExtent(length: length, state: 0)
    }
  }
}
