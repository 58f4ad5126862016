"""An MCP server over Streamable HTTP that asks a person, says how far it is, and counts what became of its calls.

    python fastmcp_shop.py PORT        # 0: any free port

Prints `ready PORT` once it listens; the endpoint is http://127.0.0.1:PORT/mcp. In either generation of the protocol: a
question is a request of the server's own where there is a session, and a result that asks for more where there is none.

    GET  /seen    what happened so far, as JSON: {"asked": […], "answered": […], "begun": […], "ended": […], "cancelled": […]}
    POST /go      lets every `pack` that waits go on
"""

import asyncio
import socket
import sys
from typing import Literal

from fastmcp import Context, FastMCP
from fastmcp.server.elicitation import get_elicitation_schema
from mcp.types import ElicitRequest, ElicitRequestFormParams, InputRequiredResult, ToolAnnotations
from pydantic import BaseModel, Field
from starlette.requests import Request
from starlette.responses import JSONResponse

server = FastMCP("shop")
READS = ToolAnnotations(readOnlyHint=True, openWorldHint=False)
seen: dict[str, list] = {"asked": [], "answered": [], "begun": [], "ended": [], "cancelled": []}
released = asyncio.Event()


class Details(BaseModel):
    """One field of every kind that a form can have."""

    name: str = Field(title="For whom?", min_length=1, max_length=50)
    size: Literal["s", "l"]
    gift: bool
    pieces: int = Field(ge=1, le=9)
    weight: float = Field(ge=0)


def settle(item: str, action: str, values: dict | None) -> str:
    seen["answered"].append({"item": item, "action": action, "values": values})
    return f"{action}: {values['pieces']} {item} ({values['size']}) for {values['name']}" if values else action


@server.tool
async def order(item: str, ctx: Context):
    """Order something. Asks for the details."""
    question = f"Details of {item}?"
    answers = ctx.input_responses
    if answers is not None:
        answer = answers["details"]
        return settle(item, answer.action, answer.content)
    seen["asked"].append(item)
    if ctx.request_context is not None and ctx.request_context.protocol_version >= "2026":
        form = ElicitRequestFormParams(message=question, requested_schema=get_elicitation_schema(Details))
        return InputRequiredResult(input_requests={"details": ElicitRequest(params=form)}, request_state=item)
    try:
        answer = await ctx.elicit(question, Details)
    except asyncio.CancelledError:
        seen["cancelled"].append(item)
        raise
    return settle(item, answer.action, answer.data.model_dump() if answer.action == "accept" else None)


@server.tool(annotations=READS)
async def pack(item: str, ctx: Context) -> str:
    """Pack something, and say how far it is. Goes on when it may."""
    seen["begun"].append(item)
    try:
        await ctx.report_progress(1, 4, f"packing {item}")
        await released.wait()
    except asyncio.CancelledError:
        seen["cancelled"].append(item)
        raise
    seen["ended"].append(item)
    return f"packed {item}"


@server.custom_route("/seen", methods=["GET"])
async def what_happened(_: Request) -> JSONResponse:
    return JSONResponse(seen)


@server.custom_route("/go", methods=["POST"])
async def go_on(_: Request) -> JSONResponse:
    released.set()
    return JSONResponse({})


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
