"""The NBD protocol on a raw socket, with nothing that keeps a client from misbehaving. All of it is big endian."""
import socket
import struct

OPTION_MAGIC = 0x49484156454F5054
REPLY_MAGIC = 0x0003E889045565A9
REQUEST_MAGIC = 0x25609513
SIMPLE_MAGIC = 0x67446698
CHUNK_MAGIC = 0x668E33EF

EXPORT_NAME, ABORT, LIST, STARTTLS, INFO, GO, STRUCTURED_REPLY, LIST_META, SET_META = 1, 2, 3, 5, 6, 7, 8, 9, 10
ACK, SERVER, INFORMATION, META = 1, 2, 3, 4
BLOCK_SIZE = 3
ERROR = 1 << 31
UNSUPPORTED, INVALID, TOO_BIG = ERROR | 1, ERROR | 3, ERROR | 9
READ, WRITE, DISCONNECT, FLUSH, TRIM, CACHE, WRITE_ZEROES, BLOCK_STATUS = range(8)
# Of chunks.
DONE = 1
OFFSET_DATA, OFFSET_HOLE = 1, 2
# "Error values": what a server may answer.
ERRORS = {0, 1, 5, 12, 22, 28, 75, 95, 108}


def option(number, data=b"", length=None):
    """An option; `length` tells another length than the data have."""
    return struct.pack(">QII", OPTION_MAGIC, number, len(data) if length is None else length) + data


def named(export, *wanted):
    """The data of INFO and GO."""
    name = export.encode()
    return struct.pack(">I", len(name)) + name + struct.pack(f">H{len(wanted)}H", len(wanted), *wanted)


def contexts(export, *queries):
    """The data of LIST_META_CONTEXT and SET_META_CONTEXT."""
    texts = [query.encode() for query in queries]
    name = export.encode()
    return (struct.pack(">I", len(name)) + name + struct.pack(">I", len(texts))
            + b"".join(struct.pack(">I", len(text)) + text for text in texts))


def request(command, cookie, offset=0, length=0, flags=0, payload=b""):
    """A request and, of a WRITE, its payload."""
    return struct.pack(">IHHQQI", REQUEST_MAGIC, flags, command, cookie, offset, length) + payload


class Closed(Exception):
    """The server hung up."""


class Client:
    """A connection; every wait ends after 15 seconds with TimeoutError."""

    def __init__(self, path):
        self.partial = {}
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(15)
        self.socket.connect(path)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()

    def send(self, data):
        try:
            self.socket.sendall(data)
        except (BrokenPipeError, ConnectionResetError) as error:
            raise Closed from error

    def receive(self, count):
        data = bytearray()
        while len(data) < count:
            try:
                part = self.socket.recv(min(count - len(data), 1 << 20))
            except ConnectionResetError:
                part = b""
            if not part:
                raise Closed(f"after {len(data)} of {count} bytes")
            data += part
        return bytes(data)

    def unpack(self, layout):
        return struct.unpack(layout, self.receive(struct.calcsize(layout)))

    def to_the_end(self):
        """All that comes until the server hangs up."""
        data = bytearray()
        try:
            while part := self.socket.recv(1 << 20):
                data += part
        except ConnectionResetError:
            pass
        return bytes(data)

    def greet(self, flags=3):
        """The fixed newstyle greeting, answered."""
        if self.receive(16) != b"NBDMAGICIHAVEOPT":
            raise AssertionError("no newstyle greeting")
        self.unpack(">H")
        self.send(struct.pack(">I", flags))

    def reply(self):
        """One reply to an option: its number, the reply's type, the data."""
        magic, number, kind, length = self.unpack(">QIII")
        if magic != REPLY_MAGIC:
            raise AssertionError(f"option reply magic {magic:#x}")
        return number, kind, self.receive(length)

    def replies(self, number):
        """The replies to an option, up to the last one: types and data."""
        found = []
        while True:
            replied, kind, data = self.reply()
            if replied != number:
                raise AssertionError(f"a reply to option {replied}, not {number}")
            found.append((kind, data))
            if kind == ACK or kind & ERROR:
                return found

    def ask(self, number, data=b"", length=None):
        self.send(option(number, data, length))
        return self.replies(number)

    def go(self, export="", structured=False):
        """Into transmission; returns size and flags."""
        self.greet()
        if structured and self.ask(STRUCTURED_REPLY)[-1][0] != ACK:
            raise AssertionError("no structured replies")
        # Who does not ask for block sizes may be refused.
        found = self.ask(GO, named(export, BLOCK_SIZE))
        if found[-1][0] != ACK:
            raise AssertionError(f"GO is answered with {found[-1][0]:#x}")
        data = next(data for kind, data in found if kind == INFORMATION and data[:2] == b"\0\0")
        return struct.unpack(">QH", data[2:12])

    def simple_reply(self, lengths):
        """Cookie, error and data; `lengths` says how many bytes follow a success."""
        magic, error, cookie = self.unpack(">IIQ")
        if magic != SIMPLE_MAGIC:
            raise AssertionError(f"simple reply magic {magic:#x}")
        return cookie, error, b"" if error else self.receive(lengths.get(cookie, 0))

    def structured_reply(self):
        """The next reply that is complete, simple or in chunks: cookie, error and how many bytes of data.

        The chunks of several replies may come mixed; `partial` keeps what is known of those that go on.
        """
        while True:
            (magic,) = self.unpack(">I")
            if magic == SIMPLE_MAGIC:
                code, cookie = self.unpack(">IQ")
                return cookie, code, 0
            if magic != CHUNK_MAGIC:
                raise AssertionError(f"reply magic {magic:#x}")
            flags, kind, cookie, length = self.unpack(">HHQI")
            data = self.receive(length)
            error, count = self.partial.pop(cookie, (0, 0))
            if kind & 1 << 15:
                error, text = struct.unpack(">IH", data[:6])
                if length < 6 + text:
                    raise AssertionError(f"an error chunk of {length} bytes with {text} bytes of text")
            elif kind == OFFSET_DATA:
                count += length - 8
            elif kind == OFFSET_HOLE:
                count += struct.unpack(">QI", data)[1]
            elif kind != 0 or length:
                raise AssertionError(f"a chunk of type {kind} with {length} bytes that nobody asked for")
            if flags & DONE:
                return cookie, error, count
            self.partial[cookie] = error, count
