/// The shapes of varlink messages: JSON objects, each ended by a zero byte.
public enum Varlink {
  /// The most bytes of one call. Ours are far below; a peer that sends more is not one of ours.
  public static let maximumCall = 64 * 1024
  /// The most bytes of one reply: all devices of a large machine.
  public static let maximumReply = 16 * 1024 * 1024

  /// What every call has; its parameters are decoded once the method is known.
  public struct CallHead: Decodable, Sendable {
    public var method: String
    /// The caller takes many replies.
    public var more: Bool?
    /// The caller wants no reply.
    public var oneway: Bool?
  }

  public struct Call<Parameters: Codable & Sendable>: Codable, Sendable {
    public var method: String
    public var parameters: Parameters?
    public var more: Bool?

    public init(method: String, parameters: Parameters, more: Bool = false) {
      self.method = method
      self.parameters = parameters
      self.more = more ? true : nil
    }
  }

  public struct Parameters<Value: Decodable>: Decodable {
    public var parameters: Value?
  }

  public struct Reply<Value: Encodable>: Encodable {
    public var parameters: Value
    public var continues: Bool?
    public var error: String?

    public init(_ parameters: Value, continues: Bool = false, error: String? = nil) {
      self.parameters = parameters
      self.continues = continues ? true : nil
      self.error = error
    }
  }

  public struct ReplyHead: Decodable, Sendable {
    public var error: String?
    public var continues: Bool?
  }

  /// The message with its zero byte.
  public static func frame<Value: Encodable>(_ value: Value) -> [UInt8] { JSON.encoded(value) + [0] }
}

/// Cuts a byte stream into messages at its zero bytes.
public struct VarlinkFramer: Sendable {
  private var buffer: [UInt8] = []
  private let limit: Int

  /// - Parameter limit: the most bytes of one message, without the zero byte.
  public init(limit: Int) { self.limit = limit }

  /// The peer sent more than the limit without an end.
  public struct Oversize: Error, Equatable, Sendable {}

  /// Takes what was received and gives back the messages that are complete now.
  /// - Throws: ``Oversize``; the stream is of no use then.
  public mutating func take(_ bytes: some Sequence<UInt8>) throws(Oversize) -> [[UInt8]] {
    var messages: [[UInt8]] = []
    for byte in bytes {
      if byte == 0 {
        messages.append(buffer)
        buffer.removeAll(keepingCapacity: true)
      } else {
        guard buffer.count < limit else { throw Oversize() }
        buffer.append(byte)
      }
    }
    return messages
  }

  /// Bytes of a message that has not ended yet.
  public var pending: Int { buffer.count }
}
