#!/usr/bin/env python3
"""Usage: Tests/Clients/libnbd_commands.py SOCKET [FUNCTION...]

Transmission through libnbd (NetworkBlockDevice/nbd, doc/proto.md): replies of both kinds, block status, the flags of
commands, errors, several connections. Part of Tests/Clients/run, which says what the environment means.
"""
import errno
import os
import random

import nbd
from handles import BLOCK, MIB, SLOW, drain, handle, noise, refused
from verdicts import Skip, expect, run


# --- Replies

def structured_read(socket):
    """structured replies: chunks cover a read, each byte once; DF gives one chunk"""
    h = handle(socket)
    expect(h.get_structured_replies_negotiated(), True, "structured replies negotiated")
    expect(h.can_df(), True, "DF")
    data = noise(MIB, 1)
    h.pwrite(data, MIB)
    h.zero(64 * 1024, MIB + 128 * 1024)
    data = data[:128 * 1024] + bytes(64 * 1024) + data[192 * 1024:]
    for flags in (0, nbd.CMD_FLAG_DF):
        chunks = []

        def chunk(content, offset, status, error):
            chunks.append((offset, len(content)))
            return 0
        got = h.pread_structured(MIB, MIB, chunk, flags)
        expect(bytes(got) == data, True, "the data are the same")
        end = MIB
        for offset, count in sorted(chunks):
            expect(offset, end, f"chunks {chunks}: the next offset")
            end += count
        expect(end, 2 * MIB, f"chunks {chunks}: the end")
        if flags:
            expect(len(chunks), 1, "chunks with DF")
    h.shutdown()


def simple_replies(socket):
    """simple replies: a client that does not ask for structured ones"""
    h = handle(socket, prepare=lambda h: h.set_request_structured_replies(False))
    expect(h.get_structured_replies_negotiated(), False, "structured replies negotiated")
    data = noise(256 * 1024, 2)
    h.pwrite(data, 0)
    expect(bytes(h.pread(len(data), 0)) == data, True, "the data are the same")
    refused(errno.EINVAL, h.pread, BLOCK, h.get_size())
    # DF is for structured replies only.
    refused(errno.EINVAL, h.pread_structured, BLOCK, 0, lambda *chunk: 0, nbd.CMD_FLAG_DF)
    h.pread(BLOCK, 0)
    h.shutdown()


def block_status(socket):
    """block status: extents are whole blocks, cover what was asked, REQ_ONE gives one, data are data"""
    h = handle(socket, prepare=lambda h: h.add_meta_context(nbd.CONTEXT_BASE_ALLOCATION))
    if not h.can_meta_context(nbd.CONTEXT_BASE_ALLOCATION):
        refused((errno.EINVAL, errno.ENOTSUP), h.block_status, MIB, 0, lambda *extent: 0)
        h.pread(BLOCK, 0)
        raise Skip("the device cannot say what is allocated")

    def ask(count, offset, flags=0):
        answers = []

        def extent(context, start, entries, error):
            expect((context, start, error.value), (nbd.CONTEXT_BASE_ALLOCATION, offset, 0), "context, start and error")
            answers.append(list(zip(entries[::2], entries[1::2])))
            return 0
        h.block_status(count, offset, extent, flags)
        expect(len(answers), 1, "replies for the context")
        return answers[0]
    h.pwrite(noise(MIB, 3), 0)
    h.trim(MIB, MIB)
    h.zero(MIB, 2 * MIB)
    h.pwrite(noise(MIB, 4), 3 * MIB)
    for offset, count in ((0, 4 * MIB), (0, BLOCK), (MIB - 4096, 8192), (3 * MIB, MIB)):
        extents = ask(count, offset)
        end = offset
        for length, flags in extents:
            expect((length > 0, length % BLOCK), (True, 0), f"an extent of {length} bytes")
            for written in (0, 3 * MIB):
                if max(end, written) < min(end + length, written + MIB):
                    expect(flags & 3, 0, f"flags of data at {max(end, written)}")
            if flags & nbd.STATE_ZERO:
                inside = min(length, 4 * MIB - end)
                expect(h.pread(inside, end) == bytes(inside), True, f"zero extent at {end} reads as zeroes")
            end += length
        # Only the last one may reach behind what was asked.
        expect(end - extents[-1][0] < offset + count, True, f"extents {extents} of {count} at {offset}")
        one = ask(count, offset, nbd.CMD_FLAG_REQ_ONE)
        expect(len(one), 1, "extents with REQ_ONE")
        expect(one[0][0] <= count, True, "REQ_ONE does not reach behind what was asked")
    refused(errno.EINVAL, h.block_status, MIB, h.get_size(), lambda *extent: 0)
    refused(errno.EINVAL, h.block_status, 0, 0, lambda *extent: 0)
    h.shutdown()


# --- Commands and their flags

def zero_flags(socket):
    """write zeroes: with and without NO_HOLE and FUA it reads as zeroes, neighbours stay"""
    h = handle(socket)
    for flags in (0, nbd.CMD_FLAG_NO_HOLE, nbd.CMD_FLAG_FUA, nbd.CMD_FLAG_NO_HOLE | nbd.CMD_FLAG_FUA):
        data = noise(MIB, 5)
        h.pwrite(data, 4 * MIB)
        h.zero(512 * 1024, 4 * MIB + 256 * 1024, flags)
        wanted = data[:256 * 1024] + bytes(512 * 1024) + data[768 * 1024:]
        expect(bytes(h.pread(MIB, 4 * MIB)) == wanted, True, f"data after zero with flags {flags}")
    # A length that no single command of a device carries.
    h.zero(24 * MIB, 8 * MIB)
    expect(h.pread(MIB, 31 * MIB) == bytes(MIB), True, "24 MiB of zeroes")
    if h.can_fast_zero():
        try:
            h.zero(MIB, 0, nbd.CMD_FLAG_FAST_ZERO)
        except nbd.Error as error:
            expect(error.errnum, errno.ENOTSUP, "refusal of a fast zero")
    else:
        refused(errno.EINVAL, h.zero, MIB, 0, nbd.CMD_FLAG_FAST_ZERO)
    h.shutdown()


def trim(socket):
    """trim: whole blocks, with FUA, neighbours stay, what was trimmed can be written again"""
    h = handle(socket)
    data = noise(MIB, 6)
    h.pwrite(data, 5 * MIB)
    h.trim(256 * 1024, 5 * MIB + 256 * 1024)
    h.trim(128 * 1024, 5 * MIB + 512 * 1024, nbd.CMD_FLAG_FUA)
    expect(bytes(h.pread(256 * 1024, 5 * MIB)) == data[:256 * 1024], True, "data before")
    expect(bytes(h.pread(384 * 1024, 5 * MIB + 640 * 1024)) == data[640 * 1024:], True, "data behind")
    h.pwrite(data, 5 * MIB)
    expect(bytes(h.pread(MIB, 5 * MIB)) == data, True, "data written again")
    h.trim(24 * MIB, 8 * MIB)
    h.shutdown()


def cache(socket):
    """cache: taken note of inside the disk, refused outside"""
    h = handle(socket)
    expect(h.can_cache(), True, "CACHE")
    h.cache(MIB, 0)
    h.cache(BLOCK, h.get_size() - BLOCK)
    refused(errno.EINVAL, h.cache, BLOCK, h.get_size())
    h.pread(BLOCK, 0)
    h.shutdown()


def force_unit_access(socket):
    """FUA: on writes of one block to 4 MiB, beside others without"""
    h = handle(socket)
    for number, count in enumerate((BLOCK, 4096, 64 * 1024, MIB, 4 * MIB)):
        data = noise(count, number)
        h.pwrite(data, MIB, nbd.CMD_FLAG_FUA)
        expect(bytes(h.pread(count, MIB)) == data, True, f"{count} bytes")
    # The book lets FUA stand on any command; it means nothing on those that write nothing.
    h.pread(BLOCK, 0)
    h.shutdown()


def errors(socket):
    """errors by the book: outside, unknown flags, wrong lengths; the connection lives on after each"""
    h = handle(socket)
    size = h.get_size()
    block = bytes(BLOCK)
    for offset in (size, size + BLOCK, 1 << 62, (1 << 63) - BLOCK):
        # Where offset and length no more fit into 63 bits, "invalid" is as good an answer.
        full = errno.ENOSPC if offset < 1 << 62 else (errno.ENOSPC, errno.EINVAL)
        refused(errno.EINVAL, h.pread, BLOCK, offset)
        refused(full, h.pwrite, block, offset)
        refused(full, h.zero, BLOCK, offset)
        refused((errno.EINVAL, errno.ENOSPC), h.trim, BLOCK, offset)
    # Half inside.
    refused(errno.EINVAL, h.pread, 2 * BLOCK, size - BLOCK)
    refused(errno.ENOSPC, h.pwrite, 2 * block, size - BLOCK)
    unknown = 1 << 14
    refused(errno.EINVAL, h.pwrite, block, 0, unknown)
    refused(errno.EINVAL, h.zero, BLOCK, 0, unknown)
    refused(errno.EINVAL, h.trim, BLOCK, 0, unknown)
    if h.get_block_size(nbd.SIZE_MINIMUM) > 1:
        refused(errno.EINVAL, h.pread, BLOCK, BLOCK // 2)
        refused(errno.EINVAL, h.pwrite, block, BLOCK // 2)
        refused(errno.EINVAL, h.pread, BLOCK // 2, 0)
        refused(errno.EINVAL, h.zero, BLOCK // 2, 0)
    data = noise(BLOCK, 7)
    h.pwrite(data, size - BLOCK)
    expect(bytes(h.pread(BLOCK, size - BLOCK)) == data, True, "the last block")
    h.shutdown()


def largest(socket):
    """sizes: the largest payload goes both ways, one block more is refused"""
    h = handle(socket)
    most = h.get_block_size(nbd.SIZE_MAXIMUM) or 32 * MIB
    if 2 * most > h.get_size():
        raise Skip(f"the disk is smaller than twice the largest payload, {most}")
    data = noise(most, 8)
    h.pwrite(data, 0)
    expect(bytes(h.pread(most, 0)) == data, True, f"{most} bytes")
    expect(bytes(h.pread_structured(most, 0, lambda *chunk: 0)) == data, True, f"{most} bytes, structured")
    refused((errno.EINVAL, errno.EOVERFLOW), h.pread, most + BLOCK, 0)
    expect(bytes(h.pread(BLOCK, 0)) == data[:BLOCK], True, "a read after that")
    h.shutdown()


def in_flight(socket):
    """depth: 300 requests under way on one connection, each with its own answer"""
    h = handle(socket)
    rng = random.Random(9)
    places = rng.sample(range(2048), 300)
    content = {place: noise(4096, place) for place in places}

    def all_of(start):
        for place in places:
            start(place)
        drain(h)
    all_of(lambda place: h.aio_pwrite(nbd.Buffer.from_bytearray(bytearray(content[place])), place * 8192))
    buffers = {place: nbd.Buffer(4096) for place in places}
    all_of(lambda place: h.aio_pread(buffers[place], place * 8192))
    for place in places:
        expect(bytes(buffers[place].to_bytearray()) == content[place], True, f"data at {place * 8192}")
    h.shutdown()


def disconnect(socket):
    """DISC: what was asked before it is carried out"""
    data = noise(64 * 1024, 10)
    h = handle(socket)
    for number in range(16):
        h.aio_pwrite(nbd.Buffer.from_bytearray(bytearray(data)), number * len(data))
    h.aio_disconnect()
    while not h.aio_is_closed():
        if h.poll(30000) == 0:
            raise AssertionError("the server did not close within 30 s")
    h = handle(socket)
    expect(bytes(h.pread(16 * len(data), 0)) == 16 * data, True, "the data are there")
    h.shutdown()


# --- Several connections

def multi_conn(socket):
    """multi-conn: written on one, flushed on another, read on a third"""
    a, b, c = (handle(socket) for _ in range(3))
    expect(all(h.can_multi_conn() for h in (a, b, c)), True, "CAN_MULTI_CONN")
    rng = random.Random(11)
    for turn in range(48 if SLOW else 200):
        a, b, c = rng.sample((a, b, c), 3)
        count, offset = rng.choice((BLOCK, 4096, 64 * 1024)), rng.randrange(64) * 65536
        data = noise(max(count, BLOCK), turn)
        a.pwrite(data, offset)
        # An acknowledged write is seen by all, flushed or not.
        expect(bytes(b.pread(len(data), offset)) == data, True, f"turn {turn}: read before the flush")
        b.flush()
        expect(bytes(c.pread(len(data), offset)) == data, True, f"turn {turn}: read after the flush")
        if turn % 4 == 0:
            c.zero(len(data), offset, nbd.CMD_FLAG_FUA if turn % 8 else 0)
            expect(bytes(a.pread(len(data), offset)) == bytes(len(data)), True, f"turn {turn}: zeroes")
    for h in (a, b, c):
        h.shutdown()


def many_connections(socket):
    """multi-conn: 12 connections at once, each with 8 requests under way"""
    handles = [handle(socket) for _ in range(12)]
    pieces = {}
    for number, h in enumerate(handles):
        for part in range(8):
            pieces[number, part] = noise(16384, number * 8 + part)
            h.aio_pwrite(nbd.Buffer.from_bytearray(bytearray(pieces[number, part])), (number * 8 + part) * 16384)
    for h in handles:
        drain(h)
    for (number, part), data in pieces.items():
        got = handles[(number + 5) % 12].pread(16384, (number * 8 + part) * 16384)
        expect(bytes(got) == data, True, f"piece {part} of connection {number}")
    for h in handles:
        h.shutdown()


def read_only(_socket):
    """read-only: told as such, reads, refuses each command that writes"""
    socket = os.environ["CLIENTS_READ_ONLY"]
    h = handle(socket)
    expect(h.is_read_only(), True, "READ_ONLY")
    before = bytes(h.pread(4096, 0))
    refused(errno.EPERM, h.pwrite, b"\xaa" * 4096, 0)
    refused(errno.EPERM, h.zero, 4096, 0)
    refused(errno.EPERM, h.trim, 4096, 0)
    expect(bytes(h.pread(4096, 0)) == before, True, "the data are the same")
    h.shutdown()


if __name__ == "__main__":
    tests = [structured_read, simple_replies, block_status, zero_flags, trim, cache, force_unit_access, errors, largest,
             in_flight, disconnect, multi_conn, many_connections]
    if os.environ.get("CLIENTS_READ_ONLY"):
        tests.append(read_only)
    run(tests, 60, __doc__)
