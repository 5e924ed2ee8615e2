#if canImport(FoundationEssentials)
  import FoundationEssentials
#else
  import Foundation
#endif

/// JSON as it goes over the wire and into `--json`.
public enum JSON {
  /// Without spaces, keys sorted.
  public static func encoded<Value: Encodable>(_ value: Value) -> [UInt8] { encode(value, [.sortedKeys]) }

  /// For people: indented, keys sorted.
  public static func pretty<Value: Encodable>(_ value: Value) -> String {
    String(decoding: encode(value, [.sortedKeys, .prettyPrinted]), as: UTF8.self)
  }

  /// - Throws: `DecodingError`
  public static func decode<Value: Decodable>(_ type: Value.Type, from bytes: some Sequence<UInt8>) throws -> Value {
    try JSONDecoder().decode(type, from: Data(bytes))
  }

  private static func encode<Value: Encodable>(_ value: Value, _ format: JSONEncoder.OutputFormatting) -> [UInt8] {
    let encoder = JSONEncoder()
    encoder.outputFormatting = format.union(.withoutEscapingSlashes)
    do { return Array(try encoder.encode(value)) } catch {
      // Our types hold texts, integers, arrays and objects only; none of them can fail to encode.
      preconditionFailure("cannot encode \(Value.self): \(error)")
    }
  }
}
