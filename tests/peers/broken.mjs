// Model endpoints that are wrong in ways aimock cannot be: base URL http://127.0.0.1:PORT/broken/KIND/v1.

const frame = (delta, finish = null) =>
  `data: ${JSON.stringify({
    id: "chatcmpl-broken",
    object: "chat.completion.chunk",
    created: 1,
    model: "broken",
    choices: [{ index: 0, delta, finish_reason: finish }],
  })}\n\n`;

const stream = (response) => response.writeHead(200, { "content-type": "text/event-stream" });
const some = frame({ role: "assistant", content: "" }) + frame({ content: "Half an " });

const kinds = {
  // Never answers, not even with a head.
  hang: () => {},
  // A head, then nothing.
  head: (response) => stream(response).flushHeaders(),
  // A few words, then silence.
  stall: (response) => stream(response).write(some),
  // A few words, then only keep-alive comments.
  comments: (response) => {
    stream(response).write(some);
    const timer = setInterval(() => response.write(": still here\n\n"), 100);
    response.on("close", () => clearInterval(timer));
  },
  // Ends cleanly with neither a finish reason nor [DONE].
  endless: (response) => stream(response).end(some),
  // A finish reason, but no [DONE].
  undone: (response) => stream(response).end(some + frame({ content: "answer." }) + frame({}, "stop")),
  // [DONE], but no finish reason.
  unfinished: (response) => stream(response).end(`${some}data: [DONE]\n\n`),
  // Frames that are not JSON.
  garbage: (response) => stream(response).end(`${some}data: {"choices":[{"del\n\ndata: <html>\n\ndata: [DONE]\n\n`),
  // JSON of the wrong shape.
  shape: (response) => stream(response).end(`data: {"choices":"none"}\n\ndata: 7\n\ndata: [DONE]\n\n`),
  // Bytes that are not UTF-8.
  bytes: (response) => stream(response).end(Buffer.from([0x64, 0x61, 0x74, 0x61, 0x3a, 0x20, 0xff, 0xfe, 0x0a, 0x0a])),
  // A page instead of a stream, as a proxy would answer.
  html: (response) => response.writeHead(200, { "content-type": "text/html" }).end("<html><body>It works!</body></html>"),
  empty: (response) => response.writeHead(200, { "content-type": "text/event-stream", "content-length": "0" }).end(),
  // An error inside the stream, as some providers send it.
  error: (response) =>
    stream(response).end(`${some}data: {"error":{"message":"The engine fell over","type":"server_error"}}\n\n`),
  // A tool call whose arguments never become JSON.
  arguments: (response) => {
    const call = { index: 0, id: "call_b", type: "function", function: { name: "everything__echo", arguments: '{"mess' } };
    stream(response).end(`${frame({ role: "assistant", tool_calls: [call] })}${frame({}, "tool_calls")}data: [DONE]\n\n`);
  },
  // A line that never ends (until the reader gives up, or 64 MiB).
  flood: (response) => {
    stream(response).write("data: ");
    const block = Buffer.alloc(65_536, "x");
    let left = 1024;
    const pour = () => {
      while (left-- > 0) if (!response.write(block)) return response.once("drain", pour);
      response.end();
    };
    pour();
  },
  // Points elsewhere: to be refused, not followed.
  redirect: (response) => response.writeHead(307, { location: "/v1/chat/completions" }).end(),
  // 429 that asks for a wait longer than anyone has.
  later: (response) =>
    response
      .writeHead(429, { "content-type": "application/json", "retry-after": "86400" })
      .end('{"error":{"message":"Come back tomorrow","type":"rate_limit_error"}}'),
};

/** Something aimock can mount. Its calls are in the journal too, with service `broken/KIND`. */
export function broken() {
  let journal;
  return {
    setJournal(given) {
      journal = given;
    },
    async handleRequest(request, response, path) {
      const kind = path.split("/")[1];
      if (!Object.hasOwn(kinds, kind)) return false;
      const parts = [];
      for await (const part of request) parts.push(part);
      let body = null;
      try {
        body = JSON.parse(Buffer.concat(parts).toString());
      } catch {
        // A request without a JSON body is recorded without one.
      }
      journal?.add({
        method: request.method,
        path: request.url,
        headers: Object.fromEntries(Object.entries(request.headers).map(([name, value]) => [name, String(value)])),
        body,
        service: `broken/${kind}`,
        response: { status: 200, fixture: null },
      });
      kinds[kind](response);
      return true;
    },
  };
}
