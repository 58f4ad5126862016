//! What the WebSocket refuses: each with its code, nothing lost, and nothing told of what is somebody else's.

use std::sync::Arc;

use adjutant_core::limits;
use adjutant_core::scope::Role;
use adjutant_testkit::provider::{Piece, Reply, Turn};
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt;
use tokio::sync::Semaphore;
use tokio_tungstenite::tungstenite::{Error, Message};

use super::server::KEY;
use super::ws_support::{Client, House, ends_run, is, is_custom};

const NOBODY: &str = "0196f0aa-0000-7000-8000-000000000001";

#[tokio::test]
async fn every_malformed_frame_costs_one_error_and_nothing_else() {
    let house = House::new(|_| Reply::text("still here")).await;
    let mut client = house.owner().await;
    let submit = |change: Value| {
        let mut frame = json!({"type": "run.submit", "clientMessageId": "m", "content": "x"});
        for (name, value) in change.as_object().unwrap() {
            frame[name] = value.clone();
        }
        Message::Text(frame.to_string().into())
    };
    let text = |text: &str| Message::Text(text.into());
    let deep = format!(r#"{{"type":"resume","threads":{}1{}}}"#, r#"{"a":"#.repeat(5_000), "}".repeat(5_000));
    let long = "x".repeat(limits::MESSAGE_BYTES + 1);
    let many: Vec<Value> = vec![json!({"type": "text", "text": "x"}); limits::MESSAGE_PARTS + 1];
    let threads: serde_json::Map<String, Value> = (0..=limits::RESUME_THREADS)
        .map(|number| (format!("0196f0aa-0000-7000-8000-{number:012}"), json!(0)))
        .collect();
    let table = [
        (text(""), "invalid_frame", None),
        (text("{"), "invalid_frame", None),
        (text("[]"), "invalid_frame", None),
        (text("null"), "invalid_frame", None),
        (text("\u{0}"), "invalid_frame", None),
        (text(&deep), "invalid_frame", None),
        (text(&"[".repeat(100_000)), "invalid_frame", None),
        (text(r#"{"type":"run.submit","content":"\ud800"}"#), "invalid_frame", None),
        (Message::Binary(vec![0, 1, 2].into()), "invalid_frame", None),
        (text("{}"), "invalid_frame", None),
        (text(r#"{"type":7}"#), "invalid_frame", None),
        (text(r#"{"type":"nonsense"}"#), "unknown_frame", None),
        (submit(json!({"clientMessageId": null})), "invalid_frame", None),
        (submit(json!({"clientMessageId": 7})), "invalid_frame", None),
        (submit(json!({"clientMessageId": ""})), "invalid_client_message_id", Some("")),
        (submit(json!({"clientMessageId": "a\u{0}b"})), "invalid_client_message_id", Some("a\u{0}b")),
        (submit(json!({"clientMessageId": "x".repeat(129)})), "invalid_client_message_id", None),
        (submit(json!({"threadId": "x"})), "invalid_frame", Some("m")),
        (submit(json!({"threadId": 1})), "invalid_frame", Some("m")),
        (submit(json!({"parentId": "x"})), "invalid_frame", Some("m")),
        (submit(json!({"parentId": NOBODY})), "parent_not_found", Some("m")),
        (submit(json!({"threadId": NOBODY})), "thread_not_found", Some("m")),
        (submit(json!({"content": null})), "invalid_frame", Some("m")),
        (submit(json!({"content": {"text": "x"}})), "invalid_frame", Some("m")),
        (submit(json!({"content": ["x"]})), "invalid_frame", Some("m")),
        (submit(json!({"content": [{"type": "text"}]})), "invalid_frame", Some("m")),
        (submit(json!({"content": [{"type": "image", "url": "x"}]})), "unsupported_part", Some("m")),
        (submit(json!({"content": many})), "invalid_frame", Some("m")),
        (submit(json!({"content": ""})), "message_empty", Some("m")),
        (submit(json!({"content": " \n"})), "message_empty", Some("m")),
        (submit(json!({"content": []})), "message_empty", Some("m")),
        (submit(json!({"content": long})), "message_too_long", Some("m")),
        (submit(json!({"mode": "later"})), "unsupported_mode", Some("m")),
        (submit(json!({"mode": 1})), "invalid_frame", Some("m")),
        (text(r#"{"type":"run.cancel"}"#), "invalid_frame", None),
        (text(r#"{"type":"run.cancel","runId":"x"}"#), "invalid_frame", None),
        (text(&json!({"type": "run.cancel", "runId": NOBODY}).to_string()), "not_found", None),
        (text(r#"{"type":"approval.decide","decision":"once"}"#), "invalid_frame", None),
        (
            text(&json!({"type": "approval.decide", "approvalId": NOBODY, "decision": "maybe"}).to_string()),
            "invalid_frame",
            None,
        ),
        (
            text(&json!({"type": "approval.decide", "approvalId": NOBODY, "decision": "once"}).to_string()),
            "not_found",
            None,
        ),
        (text(r#"{"type":"resume"}"#), "invalid_frame", None),
        (text(r#"{"type":"resume","threads":[]}"#), "invalid_frame", None),
        (text(&json!({"type": "resume", "threads": {NOBODY: -1}}).to_string()), "invalid_frame", None),
        (text(&json!({"type": "resume", "threads": {NOBODY: "1"}}).to_string()), "invalid_frame", None),
        (text(&json!({"type": "resume", "threads": {NOBODY: 1e30}}).to_string()), "invalid_frame", None),
        (text(&json!({"type": "resume", "threads": {"x": 1}}).to_string()), "invalid_frame", None),
        (text(&json!({"type": "resume", "threads": threads}).to_string()), "invalid_frame", None),
        (text(&json!({"type": "resume", "threads": {NOBODY: 0}}).to_string()), "not_found", None),
    ];
    for (message, code, named) in table {
        let shown: String = message.to_string().chars().take(200).collect();
        client.send_raw(message).await;
        let error = client.next().await;
        assert_eq!((error["type"].as_str(), error["code"].as_str()), (Some("error"), Some(code)), "{shown} {error}");
        assert_eq!(error["clientMessageId"].as_str(), named, "{shown}");
        assert!(error["message"].as_str().is_some_and(|message| message.len() > 10), "{error}");
        // A good frame in between: only bad ones in a row end the connection.
        client.send(json!({"type": "resume", "threads": {}})).await;
    }
    client.say(None, "good", "hello\u{0}").await;
    let frames = client.until(ends_run).await;
    let started = frames.iter().find(|frame| is(frame, "RUN_STARTED")).unwrap();
    assert_eq!(started["event"]["input"]["messages"][0]["content"], "hello\u{fffd}");
}

#[tokio::test]
async fn what_is_somebody_elses_is_answered_like_what_does_not_exist() {
    let house = House::new(|turn: &Turn| match turn.round() {
        0 => Reply::call("effects__look", &json!({"key": "before"})),
        1 => Reply::call("effects__effect", &json!({"key": "x"})),
        _ => Reply::text("done"),
    })
    .await;
    let mut owner = house.owner().await;
    owner.say(None, "mine", "hello").await;
    let frames = owner.until(|frame| is_custom(frame, "approval.requested")).await;
    let event = frames.last().unwrap();
    let message = frames.iter().find_map(|frame| frame["event"]["input"]["messages"][0]["id"].as_str()).unwrap();
    let (thread, run) = (&event["threadId"], &event["runId"]);
    let approval = &event["event"]["value"]["approvalId"];
    for mut stranger in [house.somebody("berta", "personal").await, house.somebody("owner", "work").await] {
        let frames_with = |thread: &Value, run: &Value, approval: &Value, parent: &Value| {
            [
                json!({"type": "run.submit", "clientMessageId": "m", "threadId": thread, "content": "x"}),
                json!({"type": "run.submit", "clientMessageId": "m", "parentId": parent, "content": "x"}),
                json!({"type": "run.cancel", "runId": run}),
                json!({"type": "approval.decide", "approvalId": approval, "decision": "once"}),
                json!({"type": "resume", "threads": {thread.as_str().unwrap(): 0}}),
            ]
        };
        let nobody = json!(NOBODY);
        let foreign = frames_with(thread, run, approval, &json!(message));
        let unknown = frames_with(&nobody, &nobody, &nobody, &nobody);
        for (foreign, unknown) in foreign.into_iter().zip(unknown) {
            stranger.send(foreign).await;
            let refused = stranger.next().await.to_string().replace(thread.as_str().unwrap(), NOBODY);
            stranger.send(unknown).await;
            assert_eq!(refused, stranger.next().await.to_string());
        }
        assert_eq!(stranger.arrived().await, [] as [Value; 0]);
    }
    assert!(!owner.arrived().await.iter().any(ends_run));
    assert_eq!(house.tools.effects().len(), 0);
}

#[tokio::test]
async fn a_number_that_no_event_has_yet_cannot_be_resumed_from() {
    let house = House::new(|_| Reply::text("hello")).await;
    let mut client = house.owner().await;
    client.say(None, "one", "hello").await;
    let frames = client.until(ends_run).await;
    let (thread, last) = (&frames.last().unwrap()["threadId"], frames.last().unwrap()["seq"].as_i64().unwrap());
    client.resume(thread.as_str().unwrap(), last + 1).await;
    assert_eq!(client.error().await["code"], "seq_ahead");
    client.resume(thread.as_str().unwrap(), last).await;
    assert_eq!(client.arrived().await, [] as [Value; 0]);
}

#[tokio::test]
async fn a_full_queue_refuses_and_keeps_what_it_has() {
    let hold = Arc::new(Semaphore::new(0));
    let gate = Arc::clone(&hold);
    let house =
        House::new(move |_| Reply::Stream(vec![Piece::Hold(Arc::clone(&gate)), Piece::Text("ok".to_owned())])).await;
    let mut client = house.owner().await;
    client.say(None, "first", "hello").await;
    let ack = client.until(|frame| frame["type"] == "ack").await.pop().unwrap();
    let thread = ack["threadId"].as_str().unwrap();
    for number in 0..limits::QUEUED_RUNS {
        client.say(Some(thread), &format!("queued-{number}"), "hello").await;
    }
    client.say(Some(thread), "one too many", "hello").await;
    let error = client.error().await;
    assert_eq!((&error["code"], &error["clientMessageId"]), (&json!("queue_full"), &json!("one too many")));
    hold.add_permits(100);
    for _ in 0..=limits::QUEUED_RUNS {
        client.until(ends_run).await;
    }
}

#[tokio::test]
async fn a_frame_beyond_the_limit_ends_the_connection_with_1009() {
    let house = House::new(|_| Reply::text("hello")).await;
    let mut client = house.owner().await;
    let frame = json!({"type": "x", "padding": "x".repeat(limits::WS_FRAME_BYTES)});
    client.send(frame).await;
    assert_eq!(client.close_code().await, 1009);
}

#[tokio::test]
async fn broken_bytes_end_the_connection_with_the_code_of_the_fault() {
    let house = House::new(|_| Reply::text("hello")).await;
    // A masked text frame with the bytes FF FE, and a frame with a reserved bit.
    for (bytes, code) in [(&[0x81, 0x82, 0, 0, 0, 0, 0xff, 0xfe][..], 1007), (&[0xf1, 0x80, 0, 0, 0, 0][..], 1002)] {
        let mut client = house.owner().await;
        client.stream().write_all(bytes).await.unwrap();
        assert_eq!(client.close_code().await, code);
    }
}

#[tokio::test]
async fn too_many_bad_frames_in_a_row_end_the_connection() {
    let house = House::new(|_| Reply::text("hello")).await;
    let mut client = house.owner().await;
    for _ in 0..=limits::WS_BAD_FRAMES {
        client.send_raw(Message::Text("nonsense".into())).await;
    }
    assert_eq!(client.close_code().await, 4009);
}

#[tokio::test]
async fn only_a_key_and_an_allowed_origin_open_a_socket() {
    let house = House::new(|_| Reply::text("hello")).await;
    let address = house.server.address;
    let own = format!("http://{address}");
    let bearer = format!("Bearer {KEY}");
    let query = format!("/ws?api_key={KEY}");
    let open = async |path: &str, headers: &[(&str, &str)]| match Client::try_open(address, path, headers).await {
        Ok(_) => 101,
        Err(Error::Http(response)) => response.status().as_u16(),
        Err(error) => panic!("{error}"),
    };
    assert_eq!(open("/ws", &[]).await, 401);
    assert_eq!(open("/ws", &[("x-api-key", "wrong")]).await, 401);
    assert_eq!(open("/ws", &[("x-api-key", KEY)]).await, 101);
    assert_eq!(open("/ws", &[("authorization", &bearer)]).await, 101);
    assert_eq!(open(&query, &[]).await, 101);
    assert_eq!(open(&query, &[("origin", &own)]).await, 101);
    assert_eq!(open(&query, &[("origin", "https://elsewhere.example")]).await, 403);
    assert_eq!(open(&query, &[("origin", "null")]).await, 403);
    let client = reqwest::Client::builder().build().unwrap();
    let plain = client.get(format!("{own}/ws")).header("x-api-key", KEY).send().await.unwrap();
    assert_eq!(plain.status(), 426);
}

#[tokio::test]
async fn a_key_for_all_profiles_picks_one_by_header_or_query() {
    let house = House::new(|_| Reply::text("hello")).await;
    let address = house.server.address;
    let any = house.server.key("owner", "*", Role::Personal).await.secret;
    let one = house.server.key("owner", "work", Role::Personal).await.secret;
    let open = async |path: &str, headers: &[(&str, &str)]| Client::try_open(address, path, headers).await;
    let mut by_query = open("/ws?profile=work", &[("x-api-key", &any)]).await.unwrap();
    let mut by_header = open("/ws", &[("x-api-key", &any), ("x-profile", "work")]).await.unwrap();
    let mut by_default = open("/ws", &[("x-api-key", &any)]).await.unwrap();
    let mut own = open("/ws", &[("x-api-key", &one)]).await.unwrap();
    own.say(None, "one", "hello").await;
    own.until(ends_run).await;
    by_query.until(ends_run).await;
    by_header.until(ends_run).await;
    assert_eq!(by_default.arrived().await, [] as [Value; 0]);
    for path in ["/ws?profile=personal", "/ws?profile=%00", "/ws?profile=work&profile=work", "/ws?profile="] {
        assert!(open(path, &[("x-api-key", &one)]).await.is_err(), "{path}");
    }
}
