// The scripted model: aimock with our fixtures, with answers scripted by the message itself, and with broken endpoints.
//
//     node aimock.mjs PORT [FIXTURES…]      # port 0: any free one; more fixture files or folders come first
//
// Prints `ready PORT`. The OpenAI base URL is http://127.0.0.1:PORT/v1. README.md says what answers what.
import { load } from "./peers.mjs";
import { broken } from "./broken.mjs";
import { fileURLToPath } from "node:url";
import { statSync } from "node:fs";

const { LLMock } = load("@copilotkit/aimock");
const [port, ...more] = process.argv.slice(2);
const mock = new LLMock({ port: Number(port ?? 0), host: "127.0.0.1", logLevel: "warn", journalMaxEntries: 20_000 });

const textOf = (content) =>
  typeof content === "string" ? content : (content ?? []).map((part) => part.text ?? "").join("");

/** The turn under way: the last user message, and what came after it. */
function turn(request) {
  const start = request.messages.findLastIndex((message) => message.role === "user");
  return { said: start < 0 ? "" : textOf(request.messages[start].content), after: request.messages.slice(start + 1) };
}

// A message that holds `do: [step, …]` says itself what the model does. Step N answers the Nth call to the model in the
// turn. A fixture is made for each step when it is first asked for: delays and cuts belong to fixtures, not to answers.
const scripts = new Map();

function steps(said) {
  // The server says when a message was sent, behind it.
  const script = said.replace(/\n\n\[sent [^\]]*\]\s*$/, "").match(/do: (\[.*\])/s);
  if (!script) return [];
  try {
    return JSON.parse(script[1]);
  } catch (error) {
    console.error(`not JSON after "do: ": ${error.message}`);
    return [{ error: 400, message: `the script is not JSON: ${error.message}` }];
  }
}

function answer(step, request) {
  const results = turn(request).after.filter((message) => message.role === "tool").map((message) => textOf(message.content));
  const content = step.text?.replaceAll("$RESULTS", results.join(" | "));
  const toolCalls = step.calls?.map(({ id, name, args }) => ({
    ...(id && { id }),
    name,
    arguments: typeof args === "string" ? args : JSON.stringify(args ?? {}),
  }));
  return {
    ...(content !== undefined && { content }),
    ...(toolCalls && { toolCalls }),
    ...(step.usage && { usage: step.usage }),
    ...(step.finish && { finishReason: step.finish }),
  };
}

function scripted(request) {
  const { said, after } = turn(request);
  const all = steps(said);
  if (all.length === 0) return false;
  const index = after.filter((message) => message.role === "assistant").length;
  const key = `${index} ${said}`;
  if (scripts.has(key)) return false;
  const step = all[index] ?? { text: `(the script has no step ${index + 1})` };
  let failures = step.error === undefined ? 0 : (step.times ?? Infinity);
  scripts.set(key, step);
  mock.addFixture({
    match: {
      predicate: (other) => {
        const now = turn(other);
        return now.said === said && now.after.filter((message) => message.role === "assistant").length === index;
      },
    },
    response: (now) => {
      if (failures-- > 0) {
        const error = { message: step.message ?? "scripted failure", type: "scripted" };
        return { error, status: step.error, retryAfter: step.retryAfter ?? 1 };
      }
      return answer(step, now);
    },
    ...(step.latency !== undefined && { latency: step.latency }),
    ...(step.chunk !== undefined && { chunkSize: step.chunk }),
    ...(step.cut !== undefined && { truncateAfterChunks: step.cut }),
    ...(step.first !== undefined && { streamingProfile: { ttft: step.first, tps: 1000 } }),
  });
  // The new fixture is last in the list aimock is walking through, so this very request finds it.
  return false;
}

mock.on({ predicate: scripted }, { content: "unreachable" });

// "what is in the picture": whether one came, anywhere in the request, as a part with its content.
const isPicture = (part) => part?.type === "image_url" && part.image_url?.url?.startsWith("data:image/png;base64,iVBOR");
mock.on({ userMessage: "what is in the picture" }, (request) => {
  const parts = request.messages.flatMap((message) => (Array.isArray(message.content) ? message.content : []));
  return { content: parts.some(isPicture) ? "A picture reached me." : "I see no picture." };
});

// "rate limited at first": the first call with these very words gets 429, the next one an answer.
const refused = new Set();
mock.on({ userMessage: "rate limited at first" }, (request) => {
  const { said } = turn(request);
  if (refused.has(said)) return { content: "Now there was room for you." };
  refused.add(said);
  return { error: { message: "Rate limit reached", type: "rate_limit_error" }, status: 429, retryAfter: 1 };
});

for (const path of [...more, fileURLToPath(new URL("aimock", import.meta.url))]) {
  if (statSync(path).isDirectory()) mock.loadFixtureDir(path);
  else mock.loadFixtureFile(path);
}
mock.mount("/broken", broken());

await mock.start();
console.log(`ready ${mock.port}`);
for (const signal of ["SIGINT", "SIGTERM"]) process.on(signal, () => process.exit(0));
