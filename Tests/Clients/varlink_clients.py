#!/usr/bin/env python3
"""Usage: varlink_clients.py SOCKET EXAMPLE

Clients that are not Bulkhead's own, against the service at SOCKET of a bulkheadd that serves the device "disk": the
example of the docs, the parser of varlink-go, and the varlink module of Python. One line for each test, as
Tests/Clients/run writes it, and "# end".
"""
import json
import os
import pathlib
import select
import shutil
import subprocess
import sys
import tempfile
import threading
import traceback

try:
    import varlink
except ImportError:
    varlink = None

path, example = sys.argv[1:]
METHODS = ("List", "Status", "Start", "Stop", "Restart", "Check", "Monitor")


class Skip(Exception):
    pass


def ctl(*words):
    """bulkheadctl's side of it, spoken by hand: one call, one reply."""
    import socket
    with socket.socket(socket.AF_UNIX) as service:
        service.connect(path)
        service.settimeout(30)
        method, parameters = words
        service.sendall(json.dumps({"method": method, "parameters": parameters}).encode() + b"\0")
        received = b""
        while not received.endswith(b"\0"):
            received += service.recv(65536)
        return json.loads(received[:-1])


def restart():
    reply = ctl("io.bulkhead.Restart", {"device": "disk"})
    assert "error" not in reply, reply


def the_example_lists_and_follows():
    with subprocess.Popen([sys.executable, example, path], stdout=subprocess.PIPE, text=True) as process:
        try:
            lines = []

            def line():
                ready, _, _ = select.select([process.stdout], [], [], 30)
                assert ready, f"no more than {lines}"
                lines.append(process.stdout.readline().rstrip())
                return lines[-1]

            restarts = threading.Timer(1, restart)
            restarts.start()
            # The list is written out with the first event.
            while not line().startswith("state disk "):
                assert lines[-1], "it has ended"
            assert any(text.split()[1:] == ["disk", "running"] for text in lines), lines
            while not line().endswith("-> running"):
                assert lines[-1].startswith("state disk "), lines
            restarts.join()
        finally:
            process.kill()


def the_example_says_what_is_wrong():
    """It fails with the name of the error, when the service is not the one that it asks for."""
    text = pathlib.Path(example).read_text().replace("io.bulkhead.List", "io.bulkhead.Lost")
    done = subprocess.run([sys.executable, "-c", text, path], capture_output=True, text=True, timeout=30)
    assert done.returncode == 1 and "org.varlink.service.MethodNotFound" in done.stderr, done.stderr


def the_example_is_short():
    lines = pathlib.Path(example).read_text().splitlines()
    assert len(lines) <= 20 and max(map(len, lines)) <= 100, f"{len(lines)} lines"


def another_parser_takes_the_description():
    generator = shutil.which("varlink-go-interface-generator")
    if not generator:
        raise Skip("there is no varlink-go-interface-generator (Debian: varlink-go)")
    reply = ctl("org.varlink.service.GetInterfaceDescription", {"interface": "io.bulkhead"})
    with tempfile.TemporaryDirectory() as folder:
        file = pathlib.Path(folder, "io.bulkhead.varlink")
        file.write_text(reply["parameters"]["description"])
        done = subprocess.run([generator, str(file)], capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stdout + done.stderr
        code = "".join(made.read_text() for made in pathlib.Path(folder).rglob("*.go"))
        for method in METHODS:
            assert f"io.bulkhead.{method}\"" in code, f"{method} was not understood"


def client():
    if not varlink:
        raise Skip("there is no Python module varlink")
    return varlink.Client.new_with_address(f"unix:{path}")


def it_is_introduced():
    with client() as connection:
        connection.get_interfaces()
        info = connection.info
        assert info["product"] == "bulkheadd" and "io.bulkhead" in info["interfaces"], info
        with connection.open("io.bulkhead") as service:
            for method in METHODS:
                assert hasattr(service, method), method


def it_lists():
    with client() as connection, connection.open("io.bulkhead") as service:
        for devices in (service.List()["devices"], service.Status("disk")["devices"]):
            found = [device for device in devices if device["name"] == "disk"]
            assert len(found) == 1 and found[0]["state"] == "running", devices
        assert found[0]["outlet"]["units"][0]["blockSize"] == 512


def it_names_its_errors():
    with client() as connection, connection.open("io.bulkhead") as service:
        for call, name in ((lambda: service.Status("nothing"), "io.bulkhead.NoSuchDevice"),
                           (lambda: service.Monitor(), "org.varlink.service.ExpectedMore")):
            try:
                call()
            except varlink.VarlinkError as error:
                assert error.error() == name, error
                if name.startswith("io.bulkhead"):
                    assert error.parameters()["device"] == "nothing" and error.parameters()["message"], error
            else:
                raise AssertionError(f"no {name}")


def it_is_monitored():
    with client() as connection, connection.open("io.bulkhead") as service:
        restarts = threading.Timer(1, restart)
        restarts.start()
        for reply in service.Monitor(_more=True):
            event = reply["event"]
            if event["kind"] == "state" and event["state"] == "running" and event["name"] == "disk":
                break
        restarts.join()


TESTS = {
    "the example of the docs lists devices and follows them": the_example_lists_and_follows,
    "the example of the docs says what is wrong": the_example_says_what_is_wrong,
    "the example of the docs has 20 lines": the_example_is_short,
    "varlink-go understands the interface": another_parser_takes_the_description,
    "Python's varlink: GetInfo, and the interface is understood": it_is_introduced,
    "Python's varlink: List and Status": it_lists,
    "Python's varlink: named errors": it_names_its_errors,
    "Python's varlink: Monitor": it_is_monitored,
}
for name, test in TESTS.items():
    try:
        test()
        print(f"ok {name}", flush=True)
    except Skip as reason:
        print(f"skip {name} - {reason}", flush=True)
    except Exception as problem:
        traceback.print_exc()
        print(f"not ok {name} - {' '.join(str(problem).split())[:300] or type(problem).__name__}", flush=True)
print("# end", flush=True)
os._exit(0)
