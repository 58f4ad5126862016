// A tool server of a person's own: what its tools are can change under way, and it remembers how it was asked.
import { createServer, type IncomingHttpHeaders, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';

export interface HouseTool {
  name: string;
  description: string;
  readOnly?: boolean;
  /** Names of its arguments, all texts. */
  takes?: string[];
}

export class ToolHouse {
  tools: HouseTool[];
  calls: { name: string; args: Record<string, unknown> }[] = [];
  /** The headers of the newest request. */
  headers: IncomingHttpHeaders = {};
  /** A call arrives, and nobody hears what became of it. */
  breaksOff = false;
  url = '';
  readonly #server: Server;
  /** Who wants to hear of changes. */
  readonly #followers = new Set<ServerResponse>();

  private constructor(tools: HouseTool[]) {
    this.tools = tools;
    this.#server = createServer((request, response) => {
      const pieces: Buffer[] = [];
      request.on('data', (piece: Buffer) => pieces.push(piece));
      request.on('end', () => {
        this.headers = request.headers;
        if (request.method === 'POST') this.#answer(Buffer.concat(pieces).toString(), response);
        else if (request.method === 'GET') this.#follow(response);
        else response.writeHead(204).end();
      });
    });
  }

  static async open(tools: HouseTool[]): Promise<ToolHouse> {
    const house = new ToolHouse(tools);
    await new Promise<void>((done) => house.#server.listen(0, '127.0.0.1', done));
    house.url = `http://127.0.0.1:${(house.#server.address() as AddressInfo).port}/mcp`;
    return house;
  }

  /** It offers something else from now on, and says so. */
  become(tools: HouseTool[]) {
    this.tools = tools;
    const news = JSON.stringify({ jsonrpc: '2.0', method: 'notifications/tools/list_changed' });
    for (const follower of this.#followers) follower.write(`event: message\ndata: ${news}\n\n`);
  }

  #follow(response: ServerResponse) {
    response.writeHead(200, { 'Content-Type': 'text/event-stream', 'Cache-Control': 'no-cache' });
    response.write(': here\n\n');
    this.#followers.add(response);
    response.on('close', () => this.#followers.delete(response));
  }

  async close(): Promise<void> {
    this.#server.closeAllConnections();
    await new Promise((done) => this.#server.close(done));
  }

  #answer(body: string, response: ServerResponse) {
    const request = JSON.parse(body) as { id?: number | string; method: string; params?: Record<string, unknown> };
    if (request.id === undefined) return response.writeHead(202).end();
    if (request.method === 'tools/call') {
      const { name, arguments: args } = request.params as { name: string; arguments: Record<string, unknown> };
      this.calls.push({ name, args });
      if (this.breaksOff) return response.destroy();
    }
    const result = this.#result(request.method);
    const said = result ? { result } : { error: { code: -32601, message: `no method ${request.method}` } };
    response.writeHead(200, { 'Content-Type': 'application/json', 'Mcp-Session-Id': 'one' });
    response.end(JSON.stringify({ jsonrpc: '2.0', id: request.id, ...said }));
  }

  #result(method: string): object | null {
    if (method === 'initialize') {
      return {
        protocolVersion: '2025-06-18',
        capabilities: { tools: { listChanged: true } },
        serverInfo: { name: 'house', version: '1' },
      };
    }
    if (method === 'tools/list') return { tools: this.tools.map(listed) };
    if (method === 'tools/call') return { content: [{ type: 'text', text: 'it is done' }] };
    return method === 'ping' ? {} : null;
  }
}

function listed({ name, description, readOnly = false, takes = [] }: HouseTool) {
  const properties = Object.fromEntries(takes.map((name) => [name, { type: 'string' }]));
  return {
    name,
    description,
    inputSchema: { type: 'object', properties, required: takes },
    annotations: readOnly ? { readOnlyHint: true, openWorldHint: false } : { openWorldHint: false },
  };
}
