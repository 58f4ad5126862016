"""A stdio MCP server that misbehaves on request and tells the test all it sees.

    python fake.py NAME HOST:PORT [FAULT...]

Every event is a line of JSON to HOST:PORT; the test's commands come back on the same connection.
"""

import json
import os
import signal
import socket
import sys
import threading

NAME, ADDRESS, *FAULTS = sys.argv[1:]
host, port = ADDRESS.rsplit(":", 1)
line = socket.create_connection((host, int(port)))
lock = threading.Lock()
tools = ["crash", "echo", "environment", "hang", "huge", "refuse"]
waiting = []


def tell(event, **more):
    with lock:
        line.sendall((json.dumps({"server": NAME, "event": event, "pid": os.getpid(), **more}) + "\n").encode())


def send(message):
    with lock:
        sys.stdout.write(json.dumps({"jsonrpc": "2.0", **message}) + "\n")
        sys.stdout.flush()


def text(id, text):
    send({"id": id, "result": {"content": [{"type": "text", "text": text}]}})


def commands():
    for command in line.makefile():
        if command == "changed\n":
            tools.append("new")
            send({"method": "notifications/tools/list_changed"})
        elif command == "release\n":
            text(waiting.pop(0), "released")


def call(id, name, arguments):
    if name == "echo":
        text(id, arguments.get("message", ""))
    elif name == "environment":
        text(id, json.dumps(dict(os.environ), sort_keys=True))
    elif name == "hang":
        waiting.append(id)
    elif name == "crash":
        os._exit(3)
    elif name == "huge":
        sys.stdout.write("x" * arguments["bytes"])
        sys.stdout.flush()
    elif name == "refuse":
        send({"id": id, "error": {"code": arguments["code"], "message": "No\nthanks"}})


def listing(id, cursor):
    if "silent-list" in FAULTS:
        return
    if "endless" in FAULTS:
        page = int(cursor or 0)
        names = [f"t{page * 10 + n:04}" for n in range(10)]
        result = {"nextCursor": str(page + 1)}
    else:
        names, result = tools, {}
    result["tools"] = [{"name": name, "inputSchema": {"type": "object"}} for name in names]
    send({"id": id, "result": result})


def answer(message):
    method, id = message.get("method"), message.get("id")
    tell(method, params=message.get("params"))
    if "silent" in FAULTS:
        return
    if method == "initialize":
        version = message["params"]["protocolVersion"]
        info = {"name": NAME, "version": "1"}
        send({"id": id, "result": {"protocolVersion": version, "capabilities": {"tools": {}}, "serverInfo": info}})
    elif method == "tools/list":
        listing(id, (message.get("params") or {}).get("cursor"))
    elif method == "tools/call":
        call(id, message["params"]["name"], message["params"].get("arguments") or {})
    elif method == "server/discover":
        if "offended" in FAULTS:
            os._exit(4)
        if "nonsense" in FAULTS:
            send({"id": id, "result": {}})
        elif "ignores-unknown" not in FAULTS:
            send({"id": id, "error": {"code": -32601, "message": "Method not found"}})
    elif id is not None:
        send({"id": id, "result": {}})


def stop(*_):
    tell("sigterm")
    os._exit(0)


signal.signal(signal.SIGTERM, stop)
tell("started")
if "exits" in FAULTS:
    os._exit(5)
if "garbage" in FAULTS:
    print("Starting up...\n\x00\xff{]\n[1,2]\n{\"jsonrpc\":\"2.0\"}\n", flush=True)
threading.Thread(target=commands, daemon=True).start()
for received in sys.stdin:
    answer(json.loads(received))
tell("input closed")
if "stubborn" in FAULTS:
    signal.pause()
    threading.Event().wait()
