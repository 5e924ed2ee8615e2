"""What the scripts for libnbd in Tests/Clients have in common."""
import errno
import os
import random

import nbd

MIB = 1 << 20
EXPORT = os.environ.get("CLIENTS_EXPORT", "")
SLOW = bool(os.environ.get("CLIENTS_SLOW"))
BLOCK = int(os.environ.get("CLIENTS_BLOCK") or 512)


def handle(socket, *, opt_mode=False, export=EXPORT, prepare=None):
    """A connected handle that checks nothing by itself: what is wrong is for the server to say."""
    h = nbd.NBD()
    h.set_strict_mode(0)
    h.set_export_name(export)
    h.set_opt_mode(opt_mode)
    if prepare:
        prepare(h)
    h.connect_unix(socket)
    return h


def refused(wanted, call, *arguments):
    """The call fails with one of these error numbers."""
    wanted = wanted if isinstance(wanted, tuple) else (wanted,)
    try:
        call(*arguments)
    except nbd.Error as error:
        if error.errnum not in wanted:
            names = [errno.errorcode[number] for number in wanted]
            raise AssertionError(f"{error.errno} ({error.string}), not {' or '.join(names)}") from error
        return
    raise AssertionError(f"{call.__name__}{arguments} succeeds")


def drain(h):
    """Waits for all requests under way; an error of one is raised."""
    while h.aio_in_flight() > 0:
        if h.poll(30000) == 0:
            raise AssertionError(f"{h.aio_in_flight()} requests without an answer after 30 s")
        while h.aio_in_flight() > 0 and (cookie := h.aio_peek_command_completed()) > 0:
            h.aio_command_completed(cookie)


def noise(count, seed):
    return random.Random(seed).randbytes(count)
