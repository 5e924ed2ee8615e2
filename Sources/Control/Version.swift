/// The version of Bulkhead.
public let bulkheadVersion = "0.1.0"
