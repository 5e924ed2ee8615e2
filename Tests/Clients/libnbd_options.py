#!/usr/bin/env python3
"""Usage: Tests/Clients/libnbd_options.py SOCKET [FUNCTION...]

Negotiation through libnbd (NetworkBlockDevice/nbd, doc/proto.md, "Option types"): every option, in every order. Part of
Tests/Clients/run, which says what the environment means.
"""
import errno

import nbd
from handles import BLOCK, EXPORT, handle, noise, refused
from verdicts import Skip, expect, run


def option_list(socket):
    """options: LIST names the export and may be repeated"""
    h = handle(socket, opt_mode=True)
    for _ in range(3):
        names = []
        count = h.opt_list(lambda name, description: names.append(name) or 0)
        expect(len(names), count, "exports counted")
        if not names or (EXPORT and EXPORT not in names):
            raise AssertionError(f"the export is not in {names}")
    h.opt_abort()


def option_info_go(socket):
    """options: INFO, an unknown export in between, then GO on the same connection"""
    h = handle(socket, opt_mode=True)
    h.opt_info()
    size = h.get_size()
    h.set_export_name("no-such-export")
    refused((errno.ENOENT, errno.EINVAL), h.opt_info)
    refused((errno.ENOENT, errno.EINVAL), h.opt_go)
    expect(h.aio_is_negotiating(), True, "still negotiating after GO of an unknown export")
    h.set_export_name(EXPORT)
    h.opt_go()
    expect(h.get_size(), size, "size after GO")
    h.pread(BLOCK, 0)
    h.shutdown()


def option_long_name(socket):
    """options: a name of 4096 bytes is unknown, nothing worse"""
    h = handle(socket, opt_mode=True)
    h.set_export_name("x" * 4096)
    refused((errno.ENOENT, errno.EINVAL), h.opt_info)
    h.set_export_name(EXPORT)
    h.opt_go()
    h.shutdown()


def option_abort(socket):
    """options: ABORT ends it in order, before and after others"""
    for ask in ((), ("opt_info",), ("opt_info", "opt_info")):
        h = handle(socket, opt_mode=True)
        for name in ask:
            getattr(h, name)()
        h.opt_abort()
        expect(h.aio_is_closed(), True, "closed after ABORT")


def option_meta_contexts(socket):
    """options: LIST_META_CONTEXT and SET_META_CONTEXT know base:allocation, and no context that is unknown"""
    h = handle(socket, opt_mode=True)
    names = []
    h.add_meta_context("base:")
    h.opt_list_meta_context(lambda name: names.append(name) or 0)
    h.clear_meta_contexts()
    if nbd.CONTEXT_BASE_ALLOCATION not in names:
        h.opt_abort()
        raise Skip("the device cannot say what is allocated")
    h.add_meta_context("nobody:knows-this")
    h.add_meta_context(nbd.CONTEXT_BASE_ALLOCATION)
    h.opt_go()
    expect(h.can_meta_context(nbd.CONTEXT_BASE_ALLOCATION), True, "base:allocation")
    expect(h.can_meta_context("nobody:knows-this"), False, "an unknown context")
    h.shutdown()


def old_clients(socket):
    """options: EXPORT_NAME with and without the 124 zeroes, as clients before GO spoke"""
    for flags in (0, nbd.HANDSHAKE_FLAG_NO_ZEROES):
        h = handle(socket, prepare=lambda h, flags=flags: h.set_handshake_flags(flags))
        expect(h.get_protocol(), "newstyle", "protocol")
        data = noise(BLOCK, flags)
        h.pwrite(data, 0)
        expect(h.pread(BLOCK, 0) == data, True, "the data are the same")
        h.shutdown()


if __name__ == "__main__":
    run((option_list, option_info_go, option_long_name, option_abort, option_meta_contexts, old_clients), 60, __doc__)
