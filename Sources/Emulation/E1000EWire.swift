import CBulkhead
import Glibc
import Platform

/// The cable: a file that gives and takes one whole Ethernet frame at a time, without check sequence. A TAP interface, or a
/// socket that keeps messages apart.
///
/// A TAP is writable only while its interface is up. That is the link: looked at ten times a second, since there is no
/// event for going down.
final class E1000EWire {
  /// Room for one frame; a longer one is cut, and no frame anyway.
  static let capacity = 0x4000
  private static let look: Nanoseconds = 100_000_000

  private let file: Int32
  private let loop: EventLoop
  private var reading: EventLoop.Token?
  private var looking: EventLoop.Token?
  private(set) var isUp = false
  /// Whether there may be frames that nobody has read.
  private(set) var hasFrames = false
  /// Whether frames are of interest.
  var wantsFrames = false {
    didSet {
      if wantsFrames != oldValue, let reading { loop.setEvents(wantsFrames ? POLLIN : 0, for: reading) }
      if !wantsFrames { hasFrames = false }
    }
  }
  /// Called when ``isUp`` has changed.
  var onChange: () -> Void = {}
  /// Called when there are frames.
  var onFrames: () -> Void = {}

  init(_ file: consuming Descriptor?, loop: EventLoop) {
    self.file = file.take()?.release() ?? -1
    self.loop = loop
    guard self.file >= 0 else { return }
    isUp = isWritable
    reading = loop.watch(self.file, events: 0) { [unowned self] events in
      guard Int32(events) & POLLIN != 0, self.wantsFrames else { return self.lookAgain() }
      self.hasFrames = true
      self.onFrames()
    }
    looking = loop.after(Self.look, every: Self.look) { [unowned self] in self.lookAgain() }
  }

  deinit { close() }

  func close() {
    if let reading { loop.remove(reading) }
    if let looking { loop.remove(looking) }
    reading = nil
    looking = nil
    isUp = false
    if file >= 0 { Descriptor.close(file) }
  }

  private var isWritable: Bool {
    var polled = pollfd(fd: file, events: Int16(POLLOUT), revents: 0)
    return bh_ppoll(&polled, 1, 0) == 1 && Int32(polled.revents) == POLLOUT
  }

  /// Sees whether the interface is up.
  func lookAgain() {
    guard file >= 0, reading != nil else { return }
    let now = isWritable
    guard now != isUp else { return }
    isUp = now
    onChange()
  }

  /// Takes a frame into `room`, ``capacity`` bytes; nil where there is none.
  func receive(_ room: UnsafeMutableRawPointer) -> Int? {
    guard hasFrames else { return nil }
    var part = bh_part(base: room, length: Self.capacity)
    let length = bh_tap_receive(file, &part, 1)
    guard length > 0 else {
      hasFrames = false
      return nil
    }
    return length
  }

  /// Sends a frame. One that the other side does not take is lost, as on a cable.
  func send(_ bytes: UnsafeMutableRawPointer, _ length: Int) {
    guard file >= 0 else { return }
    var part = bh_part(base: bytes, length: length)
    let sent = bh_tap_send(file, &part, 1)
    if sent == -Int(EIO) || sent == -Int(EBADFD) { lookAgain() }
  }
}
