#!/usr/bin/env python3
"""Lists the devices of bulkheadd, then tells what happens to them. Usage: devices.py [SOCKET]"""
import json, socket, sys

def call(method, more=False):  # Calls and replies are JSON with a zero byte at the end (varlink).
    with socket.socket(socket.AF_UNIX) as service:
        service.connect((sys.argv + ["/run/bulkhead/io.bulkhead"])[1])
        service.sendall(json.dumps({"method": method, "more": more}).encode() + b"\0")
        received = b""
        while part := service.recv(65536):
            *messages, received = (received + part).split(b"\0")
            for reply in map(json.loads, messages):
                if "error" in reply:
                    sys.exit(f"{reply['error']}: {reply['parameters'].get('message')}")
                yield reply["parameters"]
    sys.exit("bulkheadd has closed the connection")
for device in next(call("io.bulkhead.List"))["devices"]:
    print(device["address"], device.get("name") or "-", device["state"])
for event in (reply["event"] for reply in call("io.bulkhead.Monitor", more=True)):
    print(event["kind"], event.get("name") or "-", event["text"], flush=True)
