"""An MCP server over Streamable HTTP that shows who called it, has an effect that can be counted, and misbehaves on request.

    python fastmcp_headers.py PORT        # 0: any free port

Prints `ready PORT` once it listens; the endpoint is http://127.0.0.1:PORT/mcp.
NOTES_FILE names the file append_note writes to (default: notes.txt in the working directory).
LIST_DELAY delays every tools/list by that many seconds.
"""

import asyncio
import fcntl
import hashlib
import os
import socket
import sys
import time

from fastmcp import FastMCP
from fastmcp.server.dependencies import get_http_headers
from fastmcp.server.middleware import Middleware
from mcp.types import ToolAnnotations


class SlowList(Middleware):
    async def on_list_tools(self, context, call_next):
        await asyncio.sleep(float(os.environ.get("LIST_DELAY", "0")))
        return await call_next(context)


server = FastMCP("headers", middleware=[SlowList()])
READS = ToolAnnotations(readOnlyHint=True, openWorldHint=False)
WRITES = ToolAnnotations(readOnlyHint=False, destructiveHint=True, idempotentHint=False)


def callers() -> dict:
    headers = get_http_headers(include_all=True)
    return {name: hashlib.sha256(headers.get(name, "").encode()).hexdigest() for name in ("x-user", "authorization")}


@server.tool(annotations=READS)
def whoami() -> dict:
    """Who is calling, by the SHA-256 of the headers of this very request."""
    return callers()


@server.tool(annotations=READS)
async def whoami_later(tag: str, delay: int) -> dict:
    """Who is calling, after so many milliseconds, with the caller's own tag."""
    await asyncio.sleep(delay / 1000)
    return {**callers(), "tag": tag}


@server.tool(annotations=READS)
def echo(message: str) -> str:
    """Say it back."""
    return f"Echo: {message}"


@server.tool(annotations=WRITES)
def append_note(text: str) -> int:
    """Append one line to the notes. Answers how many lines there are now."""
    path = os.environ.get("NOTES_FILE", "notes.txt")
    with open(path, "a+", encoding="utf-8") as notes:
        fcntl.flock(notes, fcntl.LOCK_EX)
        notes.write(text.replace("\n", " ") + "\n")
        notes.flush()
        os.fsync(notes.fileno())
        notes.seek(0)
        return sum(1 for _ in notes)


@server.tool(annotations=READS)
async def slow(seconds: float) -> str:
    """Answer after a while. Other calls go on."""
    await asyncio.sleep(seconds)
    return f"waited {seconds} s"


@server.tool(annotations=READS)
async def stuck(seconds: float) -> str:
    """Block the whole server for a while."""
    time.sleep(seconds)
    return f"blocked {seconds} s"


@server.tool(annotations=READS)
def huge(bytes: int) -> str:  # noqa: A002
    """That many bytes of text."""
    return "x" * bytes


@server.tool(annotations=READS)
def fail(message: str) -> str:
    """Raise an error, which the protocol reports as a failed tool."""
    raise RuntimeError(message)


@server.tool(annotations=WRITES)
def crash() -> str:
    """End the server's process at once."""
    os._exit(70)


def main() -> None:
    listener = socket.create_server(("127.0.0.1", int(sys.argv[1]) if len(sys.argv) > 1 else 0))
    port = listener.getsockname()[1]
    print(f"ready {port}", flush=True)
    server.run(
        transport="http",
        host="127.0.0.1",
        port=port,
        sockets=[listener],
        show_banner=False,
        log_level="warning",
        uvicorn_config={"timeout_graceful_shutdown": 1},
    )


if __name__ == "__main__":
    main()
