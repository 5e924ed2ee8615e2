/// Numbers of the NBD protocol (NetworkBlockDevice/nbd, doc/proto.md). All of it is big endian on the wire.
enum NBD {
  // Newstyle negotiation.
  static let greetingMagic: UInt64 = 0x4e42_444d_4147_4943  // NBDMAGIC
  static let optionMagic: UInt64 = 0x4948_4156_454f_5054  // IHAVEOPT
  static let optionReplyMagic: UInt64 = 0x0003_e889_0455_65a9

  /// "Handshake flags", and the client's answer with the same bits.
  enum HandshakeFlags {
    static let fixedNewstyle: UInt16 = 1
    static let noZeroes: UInt16 = 2
  }

  /// "Option types".
  enum Option {
    static let exportName: UInt32 = 1
    static let abort: UInt32 = 2
    static let list: UInt32 = 3
    static let startTLS: UInt32 = 5
    static let info: UInt32 = 6
    static let go: UInt32 = 7
    static let structuredReply: UInt32 = 8
    static let listMetaContext: UInt32 = 9
    static let setMetaContext: UInt32 = 10
    static let extendedHeaders: UInt32 = 11
  }

  /// "Option reply types".
  enum OptionReply {
    static let ack: UInt32 = 1
    static let server: UInt32 = 2
    static let info: UInt32 = 3
    static let metaContext: UInt32 = 4
    static let unsupported: UInt32 = 0x8000_0001
    static let invalid: UInt32 = 0x8000_0003
    static let unknownExport: UInt32 = 0x8000_0006
    static let shutdown: UInt32 = 0x8000_0007
    static let blockSizeRequired: UInt32 = 0x8000_0008
    static let tooBig: UInt32 = 0x8000_0009
  }

  /// `NBD_INFO_*`.
  enum Info {
    static let export: UInt16 = 0
    static let name: UInt16 = 1
    static let description: UInt16 = 2
    static let blockSize: UInt16 = 3
  }

  /// "Transmission flags".
  struct TransmissionFlags: OptionSet, Sendable {
    let rawValue: UInt16
    static let hasFlags = TransmissionFlags(rawValue: 1 << 0)
    static let readOnly = TransmissionFlags(rawValue: 1 << 1)
    static let sendFlush = TransmissionFlags(rawValue: 1 << 2)
    static let sendFUA = TransmissionFlags(rawValue: 1 << 3)
    static let sendTrim = TransmissionFlags(rawValue: 1 << 5)
    static let sendWriteZeroes = TransmissionFlags(rawValue: 1 << 6)
    /// Only ever sent to a client that has negotiated structured replies.
    static let sendDontFragment = TransmissionFlags(rawValue: 1 << 7)
    static let canMultiConn = TransmissionFlags(rawValue: 1 << 8)
    static let sendCache = TransmissionFlags(rawValue: 1 << 10)
  }

  // Transmission.
  static let requestMagic: UInt32 = 0x2560_9513
  static let simpleReplyMagic: UInt32 = 0x6744_6698
  static let structuredReplyMagic: UInt32 = 0x668e_33ef
  static let requestSize = 28
  static let simpleReplySize = 16
  /// Bytes in front of a chunk's payload.
  static let chunkHeaderSize = 20

  /// "Structured reply flags".
  static let replyDone: UInt16 = 1

  /// "Structured reply types".
  enum Chunk {
    static let none: UInt16 = 0
    static let offsetData: UInt16 = 1
    static let blockStatus: UInt16 = 5
    static let error: UInt16 = 0x8001
    static let errorOffset: UInt16 = 0x8002
  }

  /// "Request types".
  enum Command {
    static let read: UInt16 = 0
    static let write: UInt16 = 1
    static let disconnect: UInt16 = 2
    static let flush: UInt16 = 3
    static let trim: UInt16 = 4
    static let cache: UInt16 = 5
    static let writeZeroes: UInt16 = 6
    static let blockStatus: UInt16 = 7
  }

  /// "Command flags".
  enum CommandFlags {
    static let forceUnitAccess: UInt16 = 1 << 0
    static let noHole: UInt16 = 1 << 1
    static let dontFragment: UInt16 = 1 << 2
    static let requestOne: UInt16 = 1 << 3
    static let fastZero: UInt16 = 1 << 4
  }

  /// "Error values": these and no others go into a reply.
  enum ErrorCode {
    static let none: UInt32 = 0
    static let notPermitted: UInt32 = 1
    static let ioError: UInt32 = 5
    static let invalid: UInt32 = 22
    static let noSpace: UInt32 = 28
    static let overflow: UInt32 = 75
    static let notSupported: UInt32 = 95
    static let shutdown: UInt32 = 108
  }

  /// The most bytes of one READ or WRITE that a client may count on, "Size constraints": 32 MiB.
  static let maximumPayload = 1 << 25
  /// The longest text of any kind, "Conventions".
  static let maximumString = 4096
  /// The block size that a client which was told nothing sticks to, "Size constraints".
  static let defaultBlockSize: UInt32 = 512

  /// The one metadata context, "The base: metadata namespace", and the number it goes by in BLOCK_STATUS chunks.
  static let allocationContext = "base:allocation"
  static let allocationContextID: UInt32 = 1
}
