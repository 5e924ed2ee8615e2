// A driver's author imports DriverKit alone: units, request types and failure codes come from Protocol, the clock from
// Platform.
@_exported import Platform
@_exported import Protocol
