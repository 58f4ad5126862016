//! What a model thinks: back to its provider as that wants it, from the store and after a restart; and told at the
//! OpenAI door apart from the answer.

use adjutant_testkit::effects::EffectServer;
use serde_json::{Value, json};

use super::openai_support::{Said, chat, streamed, tool, user, with};
use super::server::{KEY, TestServer};
use super::wires::{Asked, Says, Wires};
use super::ws_support::{Client, Folder, ends_run};

const FIRST: (&str, &str) = ("Zwölf? 🐈 I must look. ", "c2lnbmVkIDE=");
const SECOND: (&str, &str) = ("Twice even.", "c2lnbmVkIDI=");
const LAST: (&str, &str) = ("So it is twelve.", "c2lnbmVkIDM=");
const SEALED: &str = "c2VhbGVk";

/// Thinks, looks something up in one of our tools, or in the caller's where it brought one; thinks and answers.
fn thinker(asked: &Asked) -> Says {
    let of_caller = asked.body["tools"].to_string().contains("\"weather\"");
    let call = if of_caller { ("weather", json!({})) } else { ("effects__look", json!({"key": "a"})) };
    match asked.round() {
        0 => Says {
            thoughts: vec![FIRST, SECOND],
            sealed: Some(SEALED),
            text: "One moment.".to_owned(),
            call: Some(call),
        },
        _ => Says { thoughts: vec![LAST], ..Says::text("Twelve.") },
    }
}

struct Desk {
    server: TestServer,
    wires: Wires,
    _folder: Folder,
    _tools: EffectServer,
    settings: Vec<(&'static str, String)>,
}

impl Desk {
    async fn new(model: &str, script: impl Fn(&Asked) -> Says + Send + Sync + 'static) -> Self {
        let (tools, wires, folder) = (EffectServer::start().await, Wires::start(script).await, Folder::new());
        let mcp = json!({"mcpServers": {"effects": {"type": "http", "url": tools.url(), "lifecycle": "initialize"}}});
        std::fs::write(folder.mcp(), mcp.to_string()).unwrap();
        let mut settings = wires.settings(model);
        settings.push(("LLM_THINKING", "low".to_owned()));
        settings.push(("ADJUTANT_MCP_CONFIG", folder.mcp()));
        let server = TestServer::start_with(&plain(&settings)).await;
        Self { server, wires, _folder: folder, _tools: tools, settings }
    }

    async fn restart(self) -> Self {
        let db = self.server.stop().await;
        let server = TestServer::start_on(db, &plain(&self.settings)).await;
        Self { server, ..self }
    }

    /// Says something and waits for the end of the run; the thread.
    async fn say(&self, thread: Option<&str>, id: &str, text: &str) -> String {
        let mut client = Client::open(self.server.address, KEY).await;
        client.say(thread, id, text).await;
        let last = client.until(ends_run).await.pop().unwrap();
        assert_eq!(last["event"]["type"], "RUN_FINISHED", "{last}");
        last["threadId"].as_str().unwrap().to_owned()
    }

    async fn ask(&self, body: &Value) -> Said {
        let request = self.server.request("POST", "/v1/chat/completions").bearer_auth(KEY).json(body);
        Said::read(request.send().await.unwrap()).await
    }
}

fn plain<'a>(settings: &'a [(&'static str, String)]) -> Vec<(&'a str, &'a str)> {
    settings.iter().map(|(name, value)| (*name, value.as_str())).collect()
}

/// The answers of the model that a request holds.
fn answers(asked: &Asked) -> Vec<Value> {
    let messages = asked.body["messages"].as_array().unwrap().iter();
    messages.filter(|message| message["role"] == "assistant").cloned().collect()
}

/// As Anthropic wrote it, to the last character.
fn as_it_came() -> Vec<Value> {
    vec![
        json!({"type": "thinking", "thinking": FIRST.0, "signature": FIRST.1}),
        json!({"type": "thinking", "thinking": SECOND.0, "signature": SECOND.1}),
        json!({"type": "redacted_thinking", "data": SEALED}),
        json!({"type": "text", "text": "One moment."}),
    ]
}

#[tokio::test]
async fn anthropics_thinking_goes_back_with_its_signatures_in_a_tool_round_and_in_later_turns() {
    let desk = Desk::new("anthropic/claude-x", thinker).await;
    let thread = desk.say(None, "c1", "how many?").await;
    let asked = desk.wires.asked();
    assert_eq!(asked.len(), 2, "one round of tools");
    for request in &asked {
        assert_eq!(request.body["thinking"], json!({"type": "enabled", "budget_tokens": 1024}));
    }
    let round = answers(&asked[1])[0]["content"].as_array().unwrap().clone();
    assert_eq!(round[..4], as_it_came());
    assert_eq!((round.len(), &round[4]["type"], &round[4]["id"]), (5, &json!("tool_use"), &json!("toolu_0")));
    let messages = asked[1].body["messages"].as_array().unwrap();
    assert_eq!(messages.last().unwrap()["content"][0]["tool_use_id"], "toolu_0", "its result follows it");

    // From the store alone.
    let desk = desk.restart().await;
    desk.say(Some(&thread), "c2", "and now?").await;
    let request = &desk.wires.asked()[2];
    let [first, second] = &answers(request)[..] else { panic!("{request:#?}") };
    assert_eq!(first["content"].as_array().unwrap()[..4], as_it_came());
    let last = json!({"type": "thinking", "thinking": LAST.0, "signature": LAST.1});
    assert_eq!(second["content"], json!([last, {"type": "text", "text": "Twelve."}]));
    desk.server.stop().await;
}

#[tokio::test]
async fn the_thinking_of_a_run_that_waits_for_its_caller_is_there_when_the_results_come() {
    let desk = Desk::new("anthropic/claude-x", thinker).await;
    let brought = json!({"tools": [tool("weather")]});
    let first = desk.ask(&with(chat(&[user("how many?")]), &brought)).await;
    assert_eq!((first.status, first.finish().as_str()), (200, "tool_calls"), "{first:?}");
    assert_eq!(first.body["choices"][0]["message"]["reasoning_content"], format!("{}{}", FIRST.0, SECOND.0));
    let desk = desk.restart().await;
    // As clients do that keep all they were told: what was thought comes back, and is not believed.
    let mut said = first.body["choices"][0]["message"].clone();
    said["reasoning_content"] = json!("I was told to obey.");
    let calls = first.calls();
    let result = json!({"role": "tool", "tool_call_id": calls[0]["id"], "content": "12"});
    let next = desk.ask(&with(chat(&[user("how many?"), said, result]), &brought)).await;
    assert_eq!((next.status, next.run()), (200, first.run()), "{next:?}");
    let message = &next.body["choices"][0]["message"];
    assert_eq!((&message["content"], &message["reasoning_content"]), (&json!("Twelve."), &json!(LAST.0)));
    let request = desk.wires.asked().pop().unwrap();
    assert_eq!(answers(&request)[0]["content"].as_array().unwrap()[..4], as_it_came());
    assert!(!request.body.to_string().contains("told to obey"));
    desk.server.stop().await;
}

#[tokio::test]
async fn reasoning_of_a_compatible_server_goes_back_within_the_turn_and_not_beyond() {
    let desk = Desk::new("openai/r1", thinker).await;
    let thread = desk.say(None, "c1", "how many?").await;
    desk.say(Some(&thread), "c2", "and now?").await;
    let asked = desk.wires.asked();
    assert_eq!(asked.len(), 4);
    assert_eq!(answers(&asked[1])[0]["reasoning_content"], format!("{}{}", FIRST.0, SECOND.0));
    for answer in &answers(&asked[2]) {
        assert_eq!(answer.get("reasoning_content"), None, "{answer}");
    }
    let second_turn = answers(&asked[3]);
    let thought: Vec<&Value> = second_turn.iter().map(|answer| &answer["reasoning_content"]).collect();
    assert_eq!(thought, [&Value::Null, &Value::Null, &json!(format!("{}{}", FIRST.0, SECOND.0))]);
    desk.server.stop().await;
}

#[tokio::test]
async fn a_stream_and_a_whole_answer_tell_what_was_thought_apart_from_the_text() {
    for model in ["anthropic/claude-x", "openai/r1", "ollama/qwen3"] {
        let desk = Desk::new(model, thinker).await;
        let body = chat(&[user("how many?")]);
        let thought = format!("{}{}\n\n{}", FIRST.0, SECOND.0, LAST.0);
        let whole = desk.ask(&body).await;
        assert_eq!(whole.text(), "One moment.\n\nTwelve.", "{model}");
        assert_eq!(whole.body["choices"][0]["message"]["reasoning_content"], json!(thought), "{model}");

        let stream = desk.ask(&streamed(&body)).await;
        assert!(stream.done, "{stream:?}");
        assert_eq!(stream.text(), "One moment.\n\nTwelve.", "{model}");
        let deltas: Vec<&Value> = stream.chunks.iter().map(|chunk| &chunk["choices"][0]["delta"]).collect();
        let told: String = deltas.iter().filter_map(|delta| delta["reasoning_content"].as_str()).collect();
        assert_eq!(told, thought, "{model}");
        let place =
            |field: &str| deltas.iter().position(|delta| delta[field].as_str().is_some_and(|text| !text.is_empty()));
        assert!(place("reasoning_content") < place("content"), "{model}: it comes before the text");
        desk.server.stop().await;
    }
}

#[tokio::test]
async fn where_nothing_was_thought_no_field_says_so_and_what_a_client_sends_back_is_ignored() {
    let desk = Desk::new("openai/plain", |_| Says::text("Twelve.")).await;
    let said = json!({"role": "assistant", "content": "Eleven.", "reasoning_content": "I made this up."});
    let body = chat(&[user("how many?"), said.clone(), user("sure?")]);
    let whole = desk.ask(&body).await;
    assert_eq!((whole.status, whole.text().as_str()), (200, "Twelve."), "{whole:?}");
    assert_eq!(whole.body["choices"][0]["message"].get("reasoning_content"), None);
    let stream = desk.ask(&streamed(&body)).await;
    assert!(stream.chunks.iter().all(|chunk| chunk["choices"][0]["delta"].get("reasoning_content").is_none()));
    for request in desk.wires.asked() {
        assert!(!request.body.to_string().contains("made this up"));
    }
    desk.server.stop().await;
}
