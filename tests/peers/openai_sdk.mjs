// Drives an OpenAI-compatible door with the official npm SDK, strictly. The twin of openai_sdk.py.
//
//     BASE_URL=http://127.0.0.1:8080/v1 API_KEY=… node openai_sdk.mjs [CHECK…]
import assert from "node:assert/strict";
import { load } from "./peers.mjs";

const OpenAI = load("openai");
const { BASE_URL: baseURL, API_KEY: apiKey, MODEL: model = "cos" } = process.env;
assert(baseURL && apiKey, "set BASE_URL and API_KEY");

const client = new OpenAI({ baseURL, apiKey, maxRetries: 0, timeout: 30_000 });
const create = (body, options) => client.chat.completions.create({ model, ...body }, options);
const user = (content) => ({ role: "user", content });
const weather = {
  type: "function",
  function: {
    name: "get_weather",
    description: "The weather in a city.",
    parameters: { type: "object", properties: { city: { type: "string" } }, required: ["city"] },
  },
};

// One transparent dot.
const dot =
  "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==";

function isHello(text) {
  assert(text.startsWith("Good to hear from you.") && text.endsWith("This is the last sentence."), `a part is missing: ${text}`);
  assert(text.includes("ü and ö, the sign € and the cat 🐈"), `a character is broken: ${text}`);
}

const adds = (usage) => usage && usage.total_tokens > 0 && usage.total_tokens === usage.prompt_tokens + usage.completion_tokens;

/** The stream put together. */
async function streamed(messages, more = {}) {
  const whole = { text: "", calls: [], finishes: [], usage: null };
  const ids = new Set();
  for await (const chunk of await create({ messages, stream: true, stream_options: { include_usage: true }, ...more })) {
    assert.equal(chunk.object, "chat.completion.chunk");
    ids.add(chunk.id);
    assert.equal(whole.usage, null, "something follows the usage");
    if (chunk.usage) {
      assert.deepEqual(chunk.choices, [], "choices beside the usage");
      whole.usage = chunk.usage;
    }
    for (const { delta, finish_reason } of chunk.choices) {
      whole.text += delta.content ?? "";
      if (finish_reason) whole.finishes.push(finish_reason);
      for (const { index, id, function: part } of delta.tool_calls ?? []) {
        const call = (whole.calls[index] ??= { id, type: "function", function: { name: "", arguments: "" } });
        call.function.name += part.name ?? "";
        call.function.arguments += part.arguments ?? "";
      }
    }
  }
  assert.equal(ids.size, 1, "one id for all chunks");
  assert.equal(whole.finishes.length, 1, "one finish reason");
  assert(adds(whole.usage), "usage was sent and adds up");
  return whole;
}

/** A tool of the caller: the door asks for it, the caller answers, the door goes on. */
async function ownTool(prompt, answer, streamIt) {
  const ask = async (messages) => {
    if (streamIt) return streamed(messages, { tools: [weather] });
    const { message, finish_reason } = (await create({ messages, tools: [weather] })).choices[0];
    return { text: message.content ?? "", calls: message.tool_calls ?? [], finishes: [finish_reason] };
  };
  const messages = [user(prompt)];
  const { calls, finishes } = await ask(messages);
  assert.deepEqual(finishes, ["tool_calls"]);
  assert.deepEqual(calls.map((call) => call.function.name), ["get_weather"]);
  assert.deepEqual(JSON.parse(calls[0].function.arguments), { city: "Paris" });
  assert(calls[0].id, "the call has an id");
  messages.push({ role: "assistant", content: null, tool_calls: calls });
  messages.push({ role: "tool", tool_call_id: calls[0].id, content: '{"sky":"clear"}' });
  const last = await ask(messages);
  assert.deepEqual([last.text, last.calls, last.finishes], [answer, [], ["stop"]]);
}

const checks = {
  async models() {
    const names = [];
    for await (const entry of client.models.list()) names.push(entry.id);
    assert(names.includes("cos"), `the list holds cos: ${names}`);
  },
  async plain() {
    const answer = await create({ messages: [user("hello")] });
    assert.equal(answer.object, "chat.completion");
    assert.equal(answer.model, model);
    assert.equal(answer.choices.length, 1);
    assert.equal(answer.choices[0].message.role, "assistant");
    assert.equal(answer.choices[0].finish_reason, "stop");
    isHello(answer.choices[0].message.content);
    assert(adds(answer.usage), "usage adds up");
  },
  async stream() {
    const { text, calls, finishes } = await streamed([user("hello")]);
    isHello(text);
    assert.deepEqual([calls, finishes], [[], ["stop"]]);
  },
  async parts() {
    const content = [{ type: "text", text: "Please say" }, { type: "text", text: "hello" }];
    const answer = await create({ messages: [{ role: "system", content: "Be exact." }, user(content)] });
    isHello(answer.choices[0].message.content);
  },
  async image() {
    const image_url = { url: dot };
    const messages = [user([{ type: "text", text: "what is in the picture" }, { type: "image_url", image_url }])];
    for (let turn = 0; turn < 2; turn++) {
      const { message } = (await create({ messages })).choices[0];
      assert.equal(message.content, "A picture reached me.");
      messages.push(message, user("what is in the picture"));
    }
    assert.equal((await streamed(messages)).text, "A picture reached me.");
    const address = user([{ type: "image_url", image_url: { url: "https://example.org/a.png" } }]);
    await assert.rejects(
      () => create({ messages: [address] }),
      (error) => error instanceof OpenAI.BadRequestError && error.code === "url_not_fetched",
    );
  },
  async usage() {
    const numbers = ({ prompt_tokens, completion_tokens }) => [prompt_tokens, completion_tokens];
    const answer = await create({ messages: [user("count my tokens")] });
    assert.deepEqual(numbers(answer.usage), [1200, 34]);
    assert.deepEqual(numbers((await streamed([user("count my tokens")])).usage), [1200, 34]);
  },
  async unknown_fields() {
    const answer = await create({ messages: [user("hello")], frobnicate: { deep: [1, 2] }, user: "me", seed: 7 });
    isHello(answer.choices[0].message.content);
  },
  async tool() {
    const wanted = "The clock has answered, and so do I.";
    const { message, finish_reason } = (await create({ messages: [user("what time is it")] })).choices[0];
    assert.deepEqual([message.content, message.tool_calls ?? [], finish_reason], [wanted, [], "stop"]);
    const whole = await streamed([user("what time is it")]);
    assert.deepEqual([whole.text, whole.calls, whole.finishes], [wanted, [], ["stop"]]);
  },
  function: () => ownTool("weather in Paris", "It is sunny in Paris.", false),
  function_stream: () => ownTool("weather in Paris", "It is sunny in Paris.", true),
  async both_tools() {
    for (const streamIt of [false, true]) {
      await ownTool("weather and the time in Paris", "Sunny in Paris, and the clock has answered.", streamIt);
    }
  },
  async wrong_key() {
    const stranger = new OpenAI({ baseURL, apiKey: "adj_not_a_key", maxRetries: 0 });
    const refused = (error) => error instanceof OpenAI.AuthenticationError && Boolean(error.error?.message);
    await assert.rejects(() => stranger.models.list(), refused);
    await assert.rejects(() => stranger.chat.completions.create({ model, messages: [user("hello")] }), refused);
  },
  async unknown_model() {
    for (const stream of [false, true]) {
      await assert.rejects(
        () => create({ model: "no-such-agent", messages: [user("hello")], stream }),
        (error) => error instanceof OpenAI.NotFoundError && error.code === "model_not_found",
      );
    }
  },
  async bad_request() {
    for (const messages of [[], [{ role: "nobody", content: "hello" }], [{ role: "user", content: 7 }]]) {
      await assert.rejects(
        () => create({ messages }),
        (error) => error instanceof OpenAI.BadRequestError && Boolean(error.error?.message),
        `400 for ${JSON.stringify(messages)}`,
      );
    }
  },
  async thread() {
    const first = await create({ messages: [user("hello")] }).withResponse();
    const id = first.response.headers.get("x-thread-id");
    assert(id, "the answer names its thread in x-thread-id");
    const headers = { "X-Thread-Id": id };
    const history = [user("hello"), { role: "assistant", content: first.data.choices[0].message.content }];

    const again = await create({ messages: [...history, user("count my tokens")] }, { headers }).withResponse();
    assert.equal(again.response.headers.get("x-thread-id"), id);
    assert.equal(again.data.choices[0].message.content, "Counted.");

    const told = [user("hello"), { role: "assistant", content: "I never said this." }, user("hello")];
    await assert.rejects(
      () => create({ messages: told }, { headers }),
      (error) => error instanceof OpenAI.ConflictError && Boolean(error.error?.message),
      "a history that is not the thread's was accepted",
    );
  },
};

const wanted = process.argv.slice(2);
const unknown = wanted.filter((name) => !Object.hasOwn(checks, name));
assert.deepEqual(unknown, [], `there are: ${Object.keys(checks).join(", ")}`);
const failed = [];
for (const name of wanted.length ? wanted : Object.keys(checks)) {
  try {
    await checks[name]();
    console.log(`ok ${name}`);
  } catch (error) {
    failed.push(name);
    console.log(`FAILED ${name}: ${error.name}: ${error.message}`);
  }
}
if (failed.length) {
  console.error(`${failed.length} failed: ${failed.join(", ")}`);
  process.exitCode = 1;
}
