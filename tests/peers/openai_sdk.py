"""Drives an OpenAI-compatible door with the official Python SDK, strictly.

    BASE_URL=http://127.0.0.1:8080/v1 API_KEY=… python openai_sdk.py [CHECK…]

Without names every check runs. The model behind the door is aimock with our fixtures; `tool` and `both_tools` need the
MCP server `time`. Prints one line per check and exits 1 when any failed.
"""

import json
import os
import sys
import traceback

import openai

BASE_URL = os.environ["BASE_URL"]
API_KEY = os.environ["API_KEY"]
MODEL = os.environ.get("MODEL", "cos")

client = openai.OpenAI(base_url=BASE_URL, api_key=API_KEY, max_retries=0, timeout=30)
chat = client.chat.completions

WEATHER = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "The weather in a city.",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    },
}


def user(text):
    return {"role": "user", "content": text}


def same(what, got, wanted):
    if got != wanted:
        raise AssertionError(f"{what}: got {got!r}, wanted {wanted!r}")


def true(what, holds):
    if not holds:
        raise AssertionError(what)


def hello_text(text):
    true(f"the whole greeting came: {text!r}", text.startswith("Good to hear from you.") and text.endswith("This is the last sentence."))
    true(f"no character was broken: {text!r}", "ü and ö, the sign € and the cat 🐈" in text)


def streamed(messages, **more):
    """The stream put together: text, tool calls, finish reasons, usage."""
    text, calls, finishes, usage, ids = "", {}, [], None, set()
    for chunk in chat.create(model=MODEL, messages=messages, stream=True, stream_options={"include_usage": True}, **more):
        same("object", chunk.object, "chat.completion.chunk")
        ids.add(chunk.id)
        true("nothing follows the usage", usage is None)
        if chunk.usage is not None:
            same("choices beside the usage", chunk.choices, [])
            usage = chunk.usage
        for choice in chunk.choices:
            text += choice.delta.content or ""
            if choice.finish_reason:
                finishes.append(choice.finish_reason)
            for part in choice.delta.tool_calls or []:
                call = calls.setdefault(part.index, {"id": part.id, "name": "", "arguments": ""})
                call["name"] += part.function.name or ""
                call["arguments"] += part.function.arguments or ""
    same("one id for all chunks", len(ids), 1)
    same("finish reasons", len(finishes), 1)
    true("usage was sent", usage is not None and usage.total_tokens == usage.prompt_tokens + usage.completion_tokens > 0)
    return text, [calls[index] for index in sorted(calls)], finishes[0], usage


def models():
    true("the list holds cos", "cos" in [model.id for model in client.models.list()])


def plain():
    answer = chat.create(model=MODEL, messages=[user("hello")])
    same("object", answer.object, "chat.completion")
    same("model", answer.model, MODEL)
    same("choices", len(answer.choices), 1)
    same("role", answer.choices[0].message.role, "assistant")
    same("finish reason", answer.choices[0].finish_reason, "stop")
    hello_text(answer.choices[0].message.content)
    true("usage counts", answer.usage.total_tokens == answer.usage.prompt_tokens + answer.usage.completion_tokens > 0)


def stream():
    text, calls, finish, _ = streamed([user("hello")])
    hello_text(text)
    same("calls", calls, [])
    same("finish reason", finish, "stop")


def parts():
    content = [{"type": "text", "text": "Please say"}, {"type": "text", "text": "hello"}]
    answer = chat.create(model=MODEL, messages=[{"role": "system", "content": "Be exact."}, {"role": "user", "content": content}])
    hello_text(answer.choices[0].message.content)


# One transparent dot.
DOT = "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="


def image():
    content = [{"type": "text", "text": "what is in the picture"}, {"type": "image_url", "image_url": {"url": DOT}}]
    history = [user(content)]
    for _ in range(2):
        answer = chat.create(model=MODEL, messages=history)
        same("answer", answer.choices[0].message.content, "A picture reached me.")
        history += [{"role": "assistant", "content": answer.choices[0].message.content}, user("what is in the picture")]
    same("streamed answer", streamed(history)[0], "A picture reached me.")
    try:
        chat.create(model=MODEL, messages=[user([{"type": "image_url", "image_url": {"url": "https://example.org/a.png"}}])])
    except openai.BadRequestError as error:
        same("code", error.code, "url_not_fetched")
    else:
        raise AssertionError("an address was taken for a picture")


def usage():
    answer = chat.create(model=MODEL, messages=[user("count my tokens")])
    same("usage", (answer.usage.prompt_tokens, answer.usage.completion_tokens), (1200, 34))
    counted = streamed([user("count my tokens")])[3]
    same("streamed usage", (counted.prompt_tokens, counted.completion_tokens), (1200, 34))


def unknown_fields():
    answer = chat.create(model=MODEL, messages=[user("hello")], extra_body={"frobnicate": {"deep": [1, 2]}}, user="me", seed=7)
    hello_text(answer.choices[0].message.content)


def tool():
    wanted = "The clock has answered, and so do I."
    answer = chat.create(model=MODEL, messages=[user("what time is it")])
    same("answer", answer.choices[0].message.content, wanted)
    same("tool calls shown", answer.choices[0].message.tool_calls or [], [])
    same("finish reason", answer.choices[0].finish_reason, "stop")
    text, calls, finish, _ = streamed([user("what time is it")])
    same("streamed answer", (text, calls, finish), (wanted, [], "stop"))


def own_tool(prompt, answer, stream_it):
    """A tool of the caller: the door asks for it, the caller answers, the door goes on."""
    messages = [user(prompt)]
    if stream_it:
        _, calls, finish, _ = streamed(messages, tools=[WEATHER])
        calls = [{"id": c["id"], "type": "function", "function": {"name": c["name"], "arguments": c["arguments"]}} for c in calls]
    else:
        choice = chat.create(model=MODEL, messages=messages, tools=[WEATHER]).choices[0]
        finish = choice.finish_reason
        calls = [call.model_dump() for call in choice.message.tool_calls or []]
    same("finish reason", finish, "tool_calls")
    same("called", [call["function"]["name"] for call in calls], ["get_weather"])
    same("arguments", json.loads(calls[0]["function"]["arguments"]), {"city": "Paris"})
    true("the call has an id", calls[0]["id"])
    messages += [
        {"role": "assistant", "content": None, "tool_calls": calls},
        {"role": "tool", "tool_call_id": calls[0]["id"], "content": '{"sky":"clear"}'},
    ]
    if stream_it:
        text, calls, finish, _ = streamed(messages, tools=[WEATHER])
        same("answer", (text, calls, finish), (answer, [], "stop"))
    else:
        choice = chat.create(model=MODEL, messages=messages, tools=[WEATHER]).choices[0]
        same("answer", choice.message.content, answer)
        same("finish reason", choice.finish_reason, "stop")


def function():
    own_tool("weather in Paris", "It is sunny in Paris.", stream_it=False)


def function_stream():
    own_tool("weather in Paris", "It is sunny in Paris.", stream_it=True)


def both_tools():
    for stream_it in (False, True):
        own_tool("weather and the time in Paris", "Sunny in Paris, and the clock has answered.", stream_it)


def wrong_key():
    stranger = openai.OpenAI(base_url=BASE_URL, api_key="adj_not_a_key", max_retries=0)
    for attempt in (stranger.models.list, lambda: stranger.chat.completions.create(model=MODEL, messages=[user("hello")])):
        try:
            attempt()
        except openai.AuthenticationError as error:
            true("the error says something", error.message and isinstance(error.body, dict) and error.body.get("message"))
        else:
            raise AssertionError("a wrong key was let in")


def unknown_model():
    for stream_it in (False, True):
        try:
            chat.create(model="no-such-agent", messages=[user("hello")], stream=stream_it)
        except openai.NotFoundError as error:
            same("code", error.code, "model_not_found")
        else:
            raise AssertionError("an unknown model was accepted")


def bad_request():
    for messages in ([], [{"role": "nobody", "content": "hello"}], [{"role": "user", "content": 7}]):
        try:
            chat.create(model=MODEL, messages=messages)
        except openai.BadRequestError as error:
            true("the error says something", error.body and error.body.get("message"))
        except openai.UnprocessableEntityError as error:
            raise AssertionError(f"wrong messages are 400 for OpenAI's clients, not 422: {messages}") from error
        else:
            raise AssertionError(f"accepted {messages}")


def thread():
    first = chat.with_raw_response.create(model=MODEL, messages=[user("hello")])
    thread_id = first.headers.get("x-thread-id")
    true("the answer names its thread in x-thread-id", thread_id)
    said = first.parse().choices[0].message.content
    history = [user("hello"), {"role": "assistant", "content": said}]
    header = {"X-Thread-Id": thread_id}

    again = chat.with_raw_response.create(model=MODEL, messages=[*history, user("count my tokens")], extra_headers=header)
    same("thread", again.headers.get("x-thread-id"), thread_id)
    same("answer", again.parse().choices[0].message.content, "Counted.")

    try:
        told = [user("hello"), {"role": "assistant", "content": "I never said this."}, user("hello")]
        chat.create(model=MODEL, messages=told, extra_headers=header)
    except openai.ConflictError as error:
        true("the conflict says something", error.body and error.body.get("message"))
    else:
        raise AssertionError("a history that is not the thread's was accepted")


CHECKS = [
    models, plain, stream, parts, image, usage, unknown_fields, tool, function, function_stream, both_tools,
    wrong_key, unknown_model, bad_request, thread,
]  # fmt: skip


def main():
    wanted = sys.argv[1:]
    known = {check.__name__: check for check in CHECKS}
    unknown = [name for name in wanted if name not in known]
    if unknown:
        sys.exit(f"no such check: {', '.join(unknown)}. There are: {', '.join(known)}")
    failed = []
    for name in wanted or known:
        try:
            known[name]()
            print(f"ok {name}")
        except Exception as error:
            failed.append(name)
            print(f"FAILED {name}: {type(error).__name__}: {error}")
            if not isinstance(error, (AssertionError, openai.OpenAIError)):
                traceback.print_exc()
    if failed:
        sys.exit(f"{len(failed)} failed with openai {openai.__version__}: {', '.join(failed)}")


main()
