// server-everything over Streamable HTTP on a port of one's choice: `node everything.mjs PORT` (0: any free one).
// Prints `ready PORT` once it listens; the endpoint is http://127.0.0.1:PORT/mcp.
import { createServer } from "node:net";
import { pathToFileURL } from "node:url";
import { peer } from "./peers.mjs";

const freePort = () =>
  new Promise((resolve, reject) => {
    const probe = createServer();
    probe.once("error", reject).listen(0, "127.0.0.1", () => {
      const { port } = probe.address();
      probe.close(() => resolve(port));
    });
  });

const port = Number(process.argv[2] ?? 0) || (await freePort());
process.env.PORT = String(port);
const log = console.error;
console.error = (...line) => {
  if (String(line[0]).includes("listening on port")) console.log(`ready ${port}`);
  else log(...line);
};
await import(pathToFileURL(peer("@modelcontextprotocol/server-everything/dist/transports/streamableHttp.js")));
