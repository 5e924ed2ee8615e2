"""What the Python parts of Tests/Clients have in common: tests as functions, the lines they print."""
import faulthandler
import os
import sys
import threading
import traceback


class Skip(Exception):
    """Raised by a test that does not apply; its text is the reason."""


def _hangs(name, seconds):
    faulthandler.dump_traceback(all_threads=True)
    print(f"not ok {name} - no end after {seconds} s; what would follow is not tested", flush=True)
    os._exit(1)


def run(tests, seconds, usage):
    """Runs the functions, or those that the command line names, in order; exits with 1 on any failure.

    The first line of a docstring is the test's name. A test has so many seconds.
    """
    if len(sys.argv) < 2:
        sys.exit(usage)
    socket, names = sys.argv[1], sys.argv[2:]
    tests = [test for test in tests if not names or test.__name__ in names]
    failed = not tests
    for test in tests:
        name = test.__doc__.splitlines()[0]
        # A thread, not a signal: libnbd goes on waiting after a signal.
        watchdog = threading.Timer(seconds, _hangs, (name, seconds))
        watchdog.daemon = True
        watchdog.start()
        try:
            test(socket)
            print(f"ok {name}", flush=True)
        except Skip as reason:
            print(f"skip {name} - {reason}", flush=True)
        except Exception as error:  # pylint: disable=broad-except
            failed = True
            traceback.print_exc()
            text = " ".join(f"{type(error).__name__}: {error}".split())
            print(f"not ok {name} - {text}", flush=True)
        finally:
            watchdog.cancel()
    sys.exit(failed)


def expect(actual, wanted, what):
    """Fails unless the two are equal."""
    if actual != wanted:
        raise AssertionError(f"{what}: {actual!r}, not {wanted!r}")
