//! The limits of a run, reached through a door: each ends it with its own code, and the next message is answered.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use adjutant_core::ids::RunId;
use adjutant_core::limits;
use adjutant_core::scope::Role;
use adjutant_testkit::effects::EffectServer;
use adjutant_testkit::provider::{Reply, Turn};
use serde_json::{Value, json};

use super::luck_model::{call, end, events, model, text};
use super::server::{KEY, TestServer};
use super::ws_support::{Client, Folder, House, ends_run, is_custom};

fn code(frames: &[Value]) -> &str {
    frames.last().unwrap()["event"]["code"].as_str().unwrap_or("no error")
}

#[tokio::test]
async fn a_run_that_never_comes_to_an_end_is_ended_after_its_steps() {
    let house = House::new(|turn: &Turn| match turn.last_user().as_str() {
        "for ever" => Reply::call("effects__look", &json!({"key": "again"})),
        _ => Reply::text("hello"),
    })
    .await;
    let mut client = house.owner().await;
    client.say(None, "one", "for ever").await;
    let frames = client.until(ends_run).await;
    assert_eq!(code(&frames), "limit_steps");
    assert_eq!(*house.tools.arrivals().borrow(), u64::from(limits::RUN_STEPS));
    let thread = frames.last().unwrap()["threadId"].as_str().unwrap();
    client.say(Some(thread), "two", "hello").await;
    assert_eq!(client.until(ends_run).await.last().unwrap()["event"]["outcome"]["type"], "success");
}

#[tokio::test]
async fn a_run_that_costs_more_than_its_tokens_is_ended() {
    let asked = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&asked);
    let base_url = model(move |said, _| {
        if said != "dear" {
            return text("hello");
        }
        counted.fetch_add(1, Ordering::SeqCst);
        let usage = json!({"choices": [], "usage": {"prompt_tokens": limits::RUN_TOKENS / 2, "completion_tokens": 1}});
        events(&[call("a", "effects__look", r#"{"key": "k"}"#), end("tool_calls"), usage])
    })
    .await;
    let (tools, folder) = (EffectServer::start().await, Folder::new());
    let mcp = json!({"mcpServers": {"effects": {"type": "http", "url": tools.url(), "lifecycle": "initialize"}}});
    std::fs::write(folder.mcp(), mcp.to_string()).unwrap();
    let mcp = folder.mcp();
    let settings = [
        ("LLM_PROVIDER", "openai"),
        ("LLM_MODEL", "scripted"),
        ("OPENAI_BASE_URL", base_url.as_str()),
        ("ADJUTANT_MCP_CONFIG", mcp.as_str()),
    ];
    let server = TestServer::start_with(&settings).await;
    let mut client = Client::open(server.address, KEY).await;
    client.say(None, "one", "dear").await;
    assert_eq!(code(&client.until(ends_run).await), "limit_tokens");
    assert_eq!(asked.load(Ordering::SeqCst), 2);
    // The OpenAI door says the same of its run.
    let body = json!({"model": "cos", "messages": [{"role": "user", "content": "dear"}]});
    let request = server.request("POST", "/v1/chat/completions").bearer_auth(KEY).json(&body);
    let refused = super::server::answer(request).await;
    assert_eq!(refused.body["error"]["code"], "limit_tokens", "{refused:?}");
    assert!(refused.status >= 400, "{refused:?}");
    server.stop().await;
}

#[tokio::test]
async fn a_run_whose_working_time_is_over_is_ended_and_waiting_does_not_count() {
    let house = House::new(|turn: &Turn| match turn.round() {
        0 => Reply::call("effects__look", &json!({"key": "before"})),
        1 => Reply::call("effects__effect", &json!({"key": "milk"})),
        _ => Reply::text("done"),
    })
    .await;
    let mut client = house.owner().await;
    let waiting = |frame: &Value| is_custom(frame, "run.state") && frame["event"]["value"]["state"] == "waiting";
    for (id, spent, ends) in [("a", limits::RUN_TIME.as_millis(), "limit_time"), ("b", 0, "no error")] {
        client.say(None, id, "buy").await;
        let frames = client.until(waiting).await;
        let asked = frames.iter().find(|frame| is_custom(frame, "approval.requested")).unwrap();
        let run: RunId = asked["runId"].as_str().unwrap().parse().unwrap();
        // As if it had worked so long, and as if the person had let it wait since yesterday.
        let spent = i64::try_from(spent).unwrap();
        sqlx::query(
            "update runs set checkpoint = jsonb_set(checkpoint, '{state,active_ms}', to_jsonb($2::bigint)),
                created_at = created_at - interval '1 day' where id = $1",
        )
        .bind(run.as_uuid())
        .bind(spent)
        .execute(&house.server.db.admin())
        .await
        .unwrap();
        client.decide(&asked["event"]["value"]["approvalId"], "once").await;
        let frames = client.until(ends_run).await;
        assert_eq!(code(&frames), ends);
    }
    let key = house.server.key("owner", "personal", Role::Personal).await;
    assert_eq!(house.server.get("/api/threads", &key.secret).await.status, 200);
}
