// Drives the AG-UI door with the protocol's own client, whose verifier ends a run at the first event out of place.
//
//     AGENT_URL=http://127.0.0.1:8080/api/agui API_KEY=… node ag_ui_client.mjs
import assert from "node:assert/strict";
import { load } from "./peers.mjs";

const { HttpAgent, buildResumeArray } = load("@ag-ui/client");
const { AGENT_URL: url, API_KEY: key } = process.env;
assert(url && key, "set AGENT_URL and API_KEY");

const complaints = [];
console.warn = (...words) => complaints.push(words.join(" "));

let number = 0;
const agent = (threadId) => new HttpAgent({ url, headers: { "X-API-Key": key }, threadId });
const say = (agent, content) => agent.addMessage({ id: `message ${++number}`, role: "user", content });
const texts = (messages) => messages.filter(({ role }) => role === "assistant").map(({ content }) => content);

/** What the person said and was answered, over several runs of one thread with a name of the client's own. */
async function talks() {
  const one = agent("a thread / with any näme");
  say(one, "hello");
  let { newMessages } = await one.runAgent();
  assert.deepEqual(texts(newMessages), ["Hello there."]);
  say(one, "what did I say?");
  ({ newMessages } = await one.runAgent({ context: [{ description: "the page", value: "settings" }] }));
  assert.deepEqual(texts(newMessages), ["You said: hello. You are at: settings."]);
  // Another client that knows only the history goes on with the same thread.
  const other = agent(one.threadId);
  other.setMessages(one.messages);
  say(other, "what did I say?");
  ({ newMessages } = await other.runAgent());
  assert.deepEqual(texts(newMessages), ["You said: hello. You are at: settings."]);
}

async function isInterrupted() {
  const one = agent();
  for (const [answer, said] of [["once", "It is done."], ["deny", "It was not done."]]) {
    say(one, "do it");
    await one.runAgent();
    const [interrupt, ...others] = one.pendingInterrupts;
    assert.deepEqual(others, []);
    assert.equal(interrupt.reason, "tool_call");
    assert.deepEqual(interrupt.responseSchema.properties.decision.enum, ["once", "always", "deny"]);
    const call = one.messages.at(-1).toolCalls.find(({ id }) => id === interrupt.toolCallId);
    assert.equal(call.function.name, "effects__effect");
    const resume = buildResumeArray(one.pendingInterrupts, {
      [interrupt.id]: { status: "resolved", payload: { decision: answer } },
    });
    const { newMessages } = await one.runAgent({ resume });
    assert.deepEqual(texts(newMessages), [said]);
    assert.deepEqual(one.pendingInterrupts, []);
  }
}

async function runsToolsOfThePage() {
  const one = agent();
  const tools = [{ name: "pick_colour", description: "Asks for a colour.", parameters: { type: "object", properties: {} } }];
  say(one, "paint it");
  await one.runAgent({ tools });
  const call = one.messages.at(-1).toolCalls[0];
  assert.equal(call.function.name, "pick_colour");
  one.addMessage({ id: `message ${++number}`, role: "tool", toolCallId: call.id, content: "green" });
  const { newMessages } = await one.runAgent({ tools });
  assert.deepEqual(texts(newMessages), ["It is green now."]);
}

async function isToldOfFailures() {
  const one = agent();
  const failures = [];
  one.subscribe({ onRunErrorEvent: ({ event }) => void failures.push(event.code) });
  say(one, "fail");
  await one.runAgent().catch(() => {});
  assert.deepEqual(failures, ["model_unauthorized"]);
  const stranger = new HttpAgent({ url, headers: { "X-API-Key": "wrong" } });
  say(stranger, "hello");
  const error = console.error;
  console.error = () => {};
  await assert.rejects(stranger.runAgent(), { status: 401 });
  console.error = error;
}

for (const check of [talks, isInterrupted, runsToolsOfThePage, isToldOfFailures]) {
  await check();
  console.log(`ok ${check.name}`);
}
assert.deepEqual(complaints, [], "the client warned");
