#!/usr/bin/env python3
"""Usage: Tests/Clients/hostile.py SOCKET [FUNCTION...]

Clients that misbehave, on raw sockets: whatever they do, the server hangs up or answers by the book, stays in step, and
serves the next client. They write to the upper half of the disk only. SEED chooses the random ones.
"""
import contextlib
import os
import random
import struct
import sys
import time

from verdicts import expect, run
from wire import (ABORT, ACK, BLOCK_STATUS, CACHE, DISCONNECT, ERROR, ERRORS, EXPORT_NAME, FLUSH, GO, INFO, INVALID, LIST,
                  LIST_META, READ, SET_META, STARTTLS, STRUCTURED_REPLY, TOO_BIG, TRIM, UNSUPPORTED, WRITE, WRITE_ZEROES,
                  Client, Closed, contexts, named, option, request)

MIB = 1 << 20
EXPORT = os.environ.get("CLIENTS_EXPORT", "")
BLOCK = int(os.environ.get("CLIENTS_BLOCK") or 512)
SLOW = bool(os.environ.get("CLIENTS_SLOW"))
# Seconds that a client which behaves waits at the most, whatever others do.
PATIENCE = 12 if SLOW else 5
SEED = int(os.environ.get("SEED") or 20261121)


def healthy(socket):
    """Another client is served, now."""
    began = time.monotonic()
    with Client(socket) as client:
        client.go(EXPORT)
        client.send(request(READ, 1, 0, BLOCK))
        cookie, error, data = client.simple_reply({1: BLOCK})
        expect((cookie, error, len(data)), (1, 0, BLOCK), "a read of a client that behaves")
        client.send(request(DISCONNECT, 2))
    if time.monotonic() - began > PATIENCE:
        raise AssertionError(f"a client that behaves waits {time.monotonic() - began:.1f} s")


def eventually_healthy(socket):
    """The same, once the server knows that others have left."""
    end = time.monotonic() + 15
    while True:
        try:
            return healthy(socket)
        except (Closed, OSError):
            if time.monotonic() > end:
                raise
            time.sleep(0.1)


def hangs_up(client):
    """The server ends the connection within the client's time limit."""
    client.to_the_end()


# --- Negotiation

def unknown_options(socket):
    """hostile: unknown options, many at once, are refused in order"""
    rng = random.Random(SEED)
    known = {EXPORT_NAME, ABORT, LIST, STARTTLS, INFO, GO, STRUCTURED_REPLY, LIST_META, SET_META, 11}
    numbers = [number for number in (rng.choice((0, rng.randrange(100), rng.getrandbits(32))) for _ in range(60))
               if number not in known]
    with Client(socket) as client:
        client.greet()
        client.send(b"".join(option(number, rng.randbytes(rng.choice((0, 1, 7, 300)))) for number in numbers))
        for number in numbers:
            replied, kind, _ = client.reply()
            expect((replied, kind), (number, UNSUPPORTED), "the reply to an unknown option")
        # And still in step.
        expect(client.ask(LIST)[-1][0], ACK, "LIST after that")
        expect(client.ask(ABORT)[-1][0], ACK, "ABORT after that")
    healthy(socket)


def lying_options(socket):
    """hostile: options whose lengths and counts lie are refused, and the server stays in step"""
    name = EXPORT.encode()
    huge = 0xFFFFFFFF
    lies = [b"", b"\0", struct.pack(">I", huge), struct.pack(">IH", huge, 0), struct.pack(">I", len(name) + 1) + name,
            named(EXPORT)[:-1], named(EXPORT) + b"\0", struct.pack(">I", len(name)) + name + b"\xff\xff",
            struct.pack(">I", len(name)) + name + struct.pack(">HH", 2, 3)]
    lying_queries = [b"", b"\0\0\0", struct.pack(">I", huge), contexts(EXPORT)[:-1],
                     contexts(EXPORT, "base:allocation")[:-1],
                     struct.pack(">I", len(name)) + name + b"\xff\xff\xff\xff",
                     struct.pack(">I", len(name)) + name + struct.pack(">II", 1, huge)]
    cases = [(number, lie) for number in (INFO, GO) for lie in lies]
    cases += [(number, lie) for number in (LIST_META, SET_META) for lie in lying_queries]
    cases += [(STRUCTURED_REPLY, b"\0"), (LIST, b"x" * 5), (STARTTLS, b"x")]
    for number, lie in cases:
        with Client(socket) as client:
            client.greet()
            if number in (LIST_META, SET_META):
                client.ask(STRUCTURED_REPLY)
            replied = client.ask(number, lie)[-1][0]
            expect(bool(replied & ERROR), True, f"option {number} with {lie!r} is answered with {replied:#x}: an error")
            expect(client.ask(ABORT)[-1][0], ACK, f"ABORT after option {number} with {lie!r}")
    healthy(socket)


def oversize_options(socket):
    """hostile: options with up to 4 GiB of data: too big, or the end; never kept"""
    for number in (0, 4711, LIST, INFO, GO, EXPORT_NAME, SET_META, STRUCTURED_REPLY):
        with Client(socket) as client, contextlib.suppress(Closed):
            client.greet()
            client.send(option(number, bytes(MIB), length=0xFFFFFFFF))
        with Client(socket) as client, contextlib.suppress(Closed):
            client.greet()
            replied = client.ask(number, bytes(8 * MIB))[-1][0]
            expect(replied in (TOO_BIG, UNSUPPORTED, INVALID), True, f"8 MiB for option {number}: {replied:#x} an error")
            client.ask(ABORT)
    healthy(socket)


def garbage(socket):
    """hostile: what is no NBD at all, and what has the wrong magic number, is hung up on"""
    rng = random.Random(SEED)
    texts = [b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(64),
             b"NBDMAGIC" + bytes(152), b"\xff" * 4096, struct.pack(">I", 3) + b"IHAVEOPS" + bytes(8),
             struct.pack(">I", 0x80000001) + option(LIST)]
    texts += [struct.pack(">I", 4) + rng.randbytes(rng.randrange(16, 5000)) for _ in range(20)]
    for text in texts:
        with Client(socket) as client:
            with contextlib.suppress(Closed):
                client.receive(18)
                client.send(text)
            hangs_up(client)
    healthy(socket)


def endless_negotiation(socket):
    """hostile: a client that only ever asks is hung up on or served; others are not kept waiting"""
    with Client(socket) as client, contextlib.suppress(Closed):
        client.greet()
        for _ in range(600):
            client.ask(LIST)
    with Client(socket) as client, contextlib.suppress(Closed, TimeoutError):
        client.greet()
        # Thousands of questions, no answer read.
        client.socket.settimeout(1)
        for _ in range(5000):
            client.send(option(LIST))
        healthy(socket)
    healthy(socket)


# --- Disconnects

def dialogue(size):
    """What a client says from its greeting to DISC, and where the payload of its WRITE is."""
    before = (struct.pack(">I", 3) + option(LIST) + option(STRUCTURED_REPLY)
              + option(SET_META, contexts(EXPORT, "base:allocation")) + option(INFO, named(EXPORT, 0, 3))
              + option(GO, named(EXPORT, 3)) + request(READ, 1, 0, BLOCK) + request(WRITE, 2, size // 2, BLOCK))
    after = (request(FLUSH, 3) + request(WRITE_ZEROES, 4, size // 2, BLOCK) + request(TRIM, 5, size // 2, BLOCK)
             + request(CACHE, 6, 0, BLOCK) + request(BLOCK_STATUS, 7, 0, BLOCK) + request(DISCONNECT, 8))
    return before + b"\xd5" * BLOCK + after, range(len(before) + 1, len(before) + BLOCK)


def size_of(socket):
    with Client(socket) as client:
        return client.go(EXPORT)[0]


def every_byte(socket):
    """hostile: clients that leave after every single byte of a dialogue, in three ways"""
    said, payload = dialogue(size_of(socket))
    ways = ("closes", "reads and closes", "only stops sending")
    for end in range(len(said) + 1):
        if end in payload and (end - payload.start) % (64 if SLOW else 16):
            continue
        for way in ways if not SLOW else (ways[end % 3],):
            with Client(socket) as client, contextlib.suppress(Closed):
                client.send(said[:end])
                if way == "reads and closes":
                    client.receive(18)
                elif way == "only stops sending":
                    client.socket.shutdown(1)
                    client.to_the_end()
        if end % 128 == 0:
            eventually_healthy(socket)
    eventually_healthy(socket)


def byte_by_byte(socket):
    """hostile: a client that sends single bytes is served all the same"""
    said, _ = dialogue(size_of(socket))
    with Client(socket) as client:
        for position in range(len(said)):
            client.send(said[position:position + 1])
        data = client.to_the_end()
    expect(data[:16], b"NBDMAGICIHAVEOPT", "the greeting")
    expect(b"\xd5" * BLOCK in data, False, "the read sees what was there before")
    with Client(socket) as client:
        client.go(EXPORT)
        for byte in request(READ, 9, 0, BLOCK):
            client.send(bytes([byte]))
        expect(client.simple_reply({9: BLOCK})[:2], (9, 0), "cookie and error")
    healthy(socket)


# --- Transmission

def random_request(rng, size, cookie):
    """A request that is right or wrong in some way; and whether it must succeed, must fail or may do either."""
    half = size // 2
    command = rng.choice((READ, READ, WRITE, WRITE, FLUSH, TRIM, CACHE, WRITE_ZEROES, BLOCK_STATUS,
                          rng.randrange(8, 1 << 16)))
    # Whatever is written starts in the upper half, or outside.
    offset = rng.choice((half + rng.randrange((size - half) // BLOCK) * BLOCK, half + rng.randrange(half), size - BLOCK,
                         size, size + BLOCK, 1 << 63, (1 << 64) - BLOCK, (1 << 64) - 1))
    length = rng.choice((0, BLOCK, BLOCK, 4096, 65536, MIB, rng.randrange(1, 70000), 1))
    flags = rng.choice((0, 0, 0, 1, 2, 4, 1 << rng.randrange(16), rng.getrandbits(16)))
    if command == FLUSH:
        offset, length = (0, 0) if rng.random() < 0.7 else (offset, length)
    inside = offset + length <= size
    aligned = not (offset % BLOCK or length % BLOCK)
    if command in (READ, WRITE, TRIM, WRITE_ZEROES) and inside and aligned and length and not flags:
        wanted = True
    elif command > BLOCK_STATUS or (command in (READ, WRITE, TRIM, WRITE_ZEROES, CACHE) and not inside):
        wanted = False
    else:
        wanted = None
    payload = rng.randbytes(length) if command == WRITE else b""
    return request(command, cookie, offset, length, flags, payload), command, length, wanted


def random_requests(socket, structured):
    rng = random.Random(SEED + structured)
    size = size_of(socket)
    for _ in range(3 if SLOW else 20):
        with Client(socket) as client:
            client.go(EXPORT, structured)
            cookie = rng.getrandbits(63)
            for _ in range(20):
                batch, wanted, lengths, texts = b"", {}, {}, {}
                for _ in range(rng.choice((1, 2, 5, 12))):
                    cookie += 1
                    text, command, length, verdict = random_request(rng, size, cookie)
                    batch += text
                    wanted[cookie] = verdict
                    texts[cookie] = text[:28].hex()
                    lengths[cookie] = length if command == READ else 0
                client.send(batch)
                while wanted:
                    if structured:
                        answered, error, count = client.structured_reply()
                    else:
                        answered, error, data = client.simple_reply(lengths)
                        count = len(data)
                    if answered not in wanted:
                        raise AssertionError(f"a reply with cookie {answered:#x}, which nobody waits for")
                    what = f"request {texts[answered]}: error {error}"
                    verdict = wanted.pop(answered)
                    expect(error in ERRORS, True, f"{what} is in the book")
                    if verdict is not None:
                        expect(error == 0, verdict, f"{what}, success")
                    if error == 0:
                        expect(count, lengths[answered], f"{what}, bytes of data")
            client.send(request(DISCONNECT, 0))
    healthy(socket)


def random_simple(socket):
    """hostile: random requests, right and wrong, many at once: each gets one answer by the book"""
    random_requests(socket, False)


def random_structured(socket):
    """hostile: the same with structured replies"""
    random_requests(socket, True)


def oversize_writes(socket):
    """hostile: writes of up to 4 GiB: refused or hung up on, whether the payload comes or not"""
    half = size_of(socket) // 2
    for length in (0xFFFFFFFF, 0xFFFFFFFF // BLOCK * BLOCK, 1 << 31, 64 * MIB):
        with Client(socket) as client, contextlib.suppress(Closed):
            client.go(EXPORT)
            client.send(request(WRITE, 1, half, length, payload=bytes(MIB)))
        healthy(socket)
    with Client(socket) as client, contextlib.suppress(Closed):
        client.go(EXPORT)
        client.send(request(WRITE, 1, half, 40 * MIB, payload=bytes(40 * MIB)))
        cookie, error, _ = client.simple_reply({})
        expect((cookie, error in (22, 28, 75)), (1, True), "the answer to a write of 40 MiB")
        client.send(request(READ, 2, 0, BLOCK))
        expect(client.simple_reply({2: BLOCK})[:2], (2, 0), "a read after that")
    with Client(socket) as client, contextlib.suppress(Closed):
        client.go(EXPORT)
        client.send(request(READ, 1, 0, 0xFFFFFFFF // BLOCK * BLOCK))
        cookie, error, _ = client.simple_reply({})
        expect((cookie, error in (22, 75)), (1, True), "the answer to a read of 4 GiB")
    healthy(socket)


def out_of_step(socket):
    """hostile: a request with the wrong magic number ends the connection, at any time"""
    rng = random.Random(SEED)
    half = size_of(socket) // 2
    for before in range(12):
        with Client(socket) as client:
            client.go(EXPORT)
            with contextlib.suppress(Closed):
                for cookie in range(before):
                    client.send(request(WRITE, cookie, half, BLOCK, payload=bytes(BLOCK)))
                client.send(b"\0" + rng.randbytes(63))
            hangs_up(client)
    healthy(socket)


def never_reads(socket):
    """hostile: clients that ask for much and read nothing keep nobody waiting"""
    with contextlib.ExitStack() as stack:
        for _ in range(4):
            client = stack.enter_context(Client(socket))
            client.go(EXPORT)
            client.socket.settimeout(0.5)
            with contextlib.suppress(Closed, TimeoutError):
                for cookie in range(64):
                    client.send(request(READ, cookie, 0, MIB))
            healthy(socket)
        for _ in range(5):
            healthy(socket)
    healthy(socket)


def never_finishes(socket):
    """hostile: clients that stop in the middle of their writes keep nobody waiting"""
    half = size_of(socket) // 2
    with contextlib.ExitStack() as stack:
        for _ in range(6):
            client = stack.enter_context(Client(socket))
            client.go(EXPORT)
            with contextlib.suppress(Closed):
                client.send(request(WRITE, 1, half, MIB, payload=bytes(MIB // 2)))
            healthy(socket)
    healthy(socket)


def flood(socket):
    """hostile: 200 silent connections; those that are served go on, and all is well when the others leave"""
    with Client(socket) as served:
        served.go(EXPORT)
        with contextlib.ExitStack() as stack:
            for _ in range(200):
                try:
                    silent = Client(socket)
                except OSError:
                    break
                stack.enter_context(silent)
            for cookie in range(100):
                served.send(request(READ, cookie, 0, BLOCK))
                expect(served.simple_reply({cookie: BLOCK})[:2], (cookie, 0), "cookie and error")
    eventually_healthy(socket)


if __name__ == "__main__":
    print(f"seed {SEED}", file=sys.stderr)
    run((unknown_options, lying_options, oversize_options, garbage, endless_negotiation, every_byte, byte_by_byte,
         random_simple, random_structured, oversize_writes, out_of_step, never_reads, never_finishes, flood),
        120, __doc__)
