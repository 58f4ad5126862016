//! Profiles at the doors: made, changed and deleted by their user; what of them reaches the model; and that
//! what is in one is not in the other, through every door.

use std::time::Duration;

use adjutant_core::limits;
use adjutant_core::scope::Role;
use adjutant_core::scope::UserId;
use adjutant_store::users::{self, UserChange};
use adjutant_testkit::provider::{Reply, Turn};
use serde_json::{Value, json};
use tokio::time::timeout;

use crate::openai_support::Door;
use crate::server::{Answer, KEY, TestServer, answer};
use crate::ws_support::{Client, ends_run, is};

async fn put(server: &TestServer, key: &str, name: &str, body: &Value) -> Answer {
    let request = server.request("PUT", &format!("/api/profiles/{name}")).header("x-api-key", key);
    answer(request.json(body)).await
}

async fn delete(server: &TestServer, key: &str, name: &str) -> Answer {
    answer(server.request("DELETE", &format!("/api/profiles/{name}")).header("x-api-key", key)).await
}

async fn within(server: &TestServer, key: &str, profile: &str, path: &str) -> Answer {
    answer(server.request("GET", path).header("x-api-key", key).header("x-profile", profile)).await
}

fn system_prompt(turn: &Turn) -> String {
    turn.messages()[0]["content"].as_str().unwrap_or_default().to_owned()
}

#[tokio::test]
async fn a_profile_is_made_changed_and_deleted_by_its_user() {
    let server = TestServer::start().await;
    let all = server.key("anna", "*", Role::Personal).await.secret;
    let body = json!({
        "displayName": "Work", "models": ["a/b"], "systemPrompt": "Be brief.", "userContext": "I am Anna.",
        "timeZone": "Europe/Berlin", "allowedServers": ["time"],
    });
    let made = put(&server, &all, "work", &body).await;
    assert_eq!(made.status, 201, "{made:?}");
    for (name, value) in body.as_object().unwrap() {
        assert_eq!(made.body[name], *value, "{name}");
    }
    assert_eq!((made.body["name"].as_str(), made.body["origin"].as_str()), (Some("work"), Some("person")));
    assert_eq!(server.get("/api/profiles/work", &all).await.body, made.body);

    let changed = put(&server, &all, "work", &json!({"displayName": "Office"})).await;
    assert_eq!((changed.status, &changed.body["systemPrompt"]), (200, &Value::Null), "what is left out is gone");
    assert!(changed.body["defaultSystemPrompt"].as_str().unwrap().contains("Chief of Staff"));
    let listed = within(&server, &all, "work", "/api/profiles").await.body;
    let expected = json!([
        {"name": "personal", "displayName": "", "isCurrent": false},
        {"name": "work", "displayName": "Office", "isCurrent": true},
    ]);
    assert_eq!(listed, json!({"items": expected, "next": null}));

    assert_eq!(delete(&server, &all, "work").await.status, 204);
    delete(&server, &all, "work").await.is_problem(404, "not_found", "gone");
    server.get("/api/profiles/work", &all).await.is_problem(404, "not_found", "gone");
    within(&server, &all, "work", "/api/threads").await.is_problem(404, "unknown_profile", "gone");
    delete(&server, &all, "personal").await.is_problem(409, "profile_required", "personal");
    server.stop().await;
}

#[tokio::test]
async fn what_cannot_be_a_profile_is_refused_with_its_reason() {
    let server = TestServer::start().await;
    let all = server.key("anna", "*", Role::Personal).await.secret;
    let over = "x".repeat(limits::USER_CONTEXT_BYTES + 1);
    for (name, body, code) in [
        ("work", json!({"timeZone": "Berlin"}), "invalid_profile"),
        ("work", json!({"userContext": over}), "invalid_profile"),
        ("work", json!({"systemPrompt": over}), "invalid_profile"),
        ("work", json!({"displayName": "x".repeat(101)}), "invalid_profile"),
        ("work", json!({"models": ["a b"]}), "invalid_profile"),
        ("Work!", json!({}), "invalid_profile"),
        ("work", json!({"colour": "red"}), "invalid_body"),
        ("work", json!({"models": "a"}), "invalid_body"),
        ("work", json!([]), "invalid_body"),
    ] {
        put(&server, &all, name, &body).await.is_problem(
            400,
            code,
            &body.to_string()[..body.to_string().len().min(60)],
        );
    }
    for number in 1..limits::PROFILES {
        assert_eq!(put(&server, &all, &format!("p{number}"), &json!({})).await.status, 201);
    }
    put(&server, &all, "more", &json!({})).await.is_problem(409, "too_many_profiles", "one more");
    assert_eq!(put(&server, &all, "p1", &json!({})).await.status, 200, "one that is there");
    server.stop().await;
}

#[tokio::test]
async fn a_key_for_one_profile_opens_that_one_and_says_the_same_of_every_other() {
    let server = TestServer::start().await;
    let all = server.key("anna", "*", Role::Personal).await.secret;
    put(&server, &all, "secret", &json!({"userContext": "hidden"})).await;
    let work = server.key("anna", "work", Role::Personal).await.secret;
    assert_eq!(put(&server, &work, "work", &json!({"displayName": "Mine"})).await.status, 200);
    let listed = server.get("/api/profiles", &work).await.body;
    assert_eq!(listed["items"], json!([{"name": "work", "displayName": "Mine", "isCurrent": true}]));
    for name in ["secret", "nowhere", "personal"] {
        for refused in [
            server.get(&format!("/api/profiles/{name}"), &work).await,
            put(&server, &work, name, &json!({})).await,
            delete(&server, &work, name).await,
        ] {
            refused.is_problem(403, "profile_not_allowed", name);
        }
    }
    // Another user's profile is nobody's.
    let ben = server.key("ben", "*", Role::Admin).await.secret;
    server.get("/api/profiles/secret", &ben).await.is_problem(404, "not_found", "of anna");
    delete(&server, &ben, "secret").await.is_problem(404, "not_found", "of anna");
    assert_eq!(put(&server, &ben, "secret", &json!({})).await.status, 201, "a name is one's own");
    assert_eq!(server.get("/api/profiles/secret", &all).await.body["userContext"], "hidden");
    server.stop().await;
}

#[tokio::test]
async fn an_unknown_profile_has_one_code_at_every_door() {
    let door = Door::new(|_| Reply::text("hi")).await;
    let all = door.server.key("anna", "*", Role::Personal).await.secret;
    for path in ["/api/threads", "/api/me", "/api/profiles", "/v1/models"] {
        within(&door.server, &all, "nowhere", path).await.is_refused(404, "unknown_profile", path);
    }
    let body = json!({"model": "cos", "messages": [{"role": "user", "content": "hi"}]});
    let asked = door.send(&body, &[("x-profile", "nowhere")], &all).await;
    assert_eq!(asked.status(), 404);
    let address = door.server.address;
    let opened = Client::try_open(address, "/ws?profile=nowhere", &[("x-api-key", &all)]).await;
    let Err(tokio_tungstenite::tungstenite::Error::Http(refusal)) = opened else { panic!("the socket opened") };
    assert_eq!(refusal.status(), 404);
    assert_eq!(door.provider.turns().len(), 0);
    within(&door.server, &all, "personal", "/api/threads").await;
    assert_eq!(within(&door.server, &all, "personal", "/api/threads").await.status, 200, "it is always there");
}

#[tokio::test]
async fn a_socket_of_a_deleted_profile_ends_within_a_second() {
    let server = TestServer::start().await;
    let all = server.key("anna", "*", Role::Personal).await.secret;
    put(&server, &all, "work", &json!({})).await;
    let headers = [("x-api-key", all.as_str())];
    let mut work = Client::try_open(server.address, "/ws?profile=work", &headers).await.unwrap();
    let mut personal = Client::try_open(server.address, "/ws", &headers).await.unwrap();
    assert_eq!(work.arrived().await, [] as [Value; 0]);
    assert_eq!(delete(&server, &all, "work").await.status, 204);
    let code = timeout(Duration::from_secs(1), work.close_code()).await;
    assert_eq!(code.expect("within a second"), 4002);
    assert_eq!(personal.arrived().await, [] as [Value; 0], "the other goes on");
    server.stop().await;
}

#[tokio::test]
async fn each_profile_has_its_prompt_its_context_its_time_and_its_servers() {
    let door = Door::new(|_| Reply::text("yes")).await;
    let all = door.server.key("anna", "*", Role::Personal).await.secret;
    let work = json!({"systemPrompt": "WORK PROMPT", "userContext": "I run the shop.", "timeZone": "Asia/Tokyo",
                      "allowedServers": []});
    put(&door.server, &all, "work", &work).await;
    put(&door.server, &all, "personal", &json!({"userContext": "I have a cat."})).await;
    let body = json!({"model": "cos", "messages": [{"role": "user", "content": "well?"}]});
    for profile in ["work", "personal", "work"] {
        door.ask_as(&all, &body, &[("x-profile", profile)]).await;
    }
    let turns = door.provider.turns();
    let first = system_prompt(&turns[0]);
    assert_eq!(first, "WORK PROMPT\n\n<user_context>\nI run the shop.\n</user_context>");
    assert_eq!(turns[0].tool_names(), [""; 0], "none of the operator's servers");
    assert!(turns[0].messages()[1]["content"].as_str().unwrap().ends_with(", Asia/Tokyo]"));
    let second = system_prompt(&turns[1]);
    assert!(
        second.starts_with("You are the Chief of Staff")
            && second.contains("I have a cat.")
            && !second.contains("shop")
    );
    assert!(!turns[1].tool_names().is_empty());
    assert!(turns[1].messages()[1]["content"].as_str().unwrap().ends_with(", UTC]"));
    assert_eq!(system_prompt(&turns[2]), first, "equal, so that the provider's cache stays warm");
    // What was changed counts from the next run on.
    put(&door.server, &all, "work", &json!({"systemPrompt": "NEW"})).await;
    door.ask_as(&all, &body, &[("x-profile", "work")]).await;
    assert_eq!(system_prompt(&door.provider.turns()[3]), "NEW");
}

#[tokio::test]
async fn a_thread_of_one_profile_is_not_in_the_other_through_any_door() {
    let door = Door::new(|turn| Reply::text(&format!("so you say {}", turn.last_user()))).await;
    let (server, address) = (&door.server, door.server.address);
    let all = server.key("anna", "*", Role::Personal).await.secret;
    put(server, &all, "work", &json!({})).await;
    let headers = [("x-api-key", all.as_str())];
    for (here, there) in [("work", "personal"), ("personal", "work")] {
        let mut inside = Client::try_open(address, &format!("/ws?profile={here}"), &headers).await.unwrap();
        let mut outside = Client::try_open(address, &format!("/ws?profile={there}"), &headers).await.unwrap();
        let secret = format!("the secret of {here}");
        inside.say(None, &format!("id-of-{here}"), &secret).await;
        let frames = inside.until(ends_run).await;
        let thread = frames.iter().find_map(|frame| frame["threadId"].as_str()).unwrap().to_owned();
        let run = frames.iter().find_map(|frame| frame["event"]["runId"].as_str()).unwrap().to_owned();

        assert_eq!(outside.arrived().await, [] as [Value; 0], "nothing is carried");
        outside.resume(&thread, 0).await;
        assert_eq!(outside.error().await["code"], "not_found");
        outside.say(Some(&thread), "another-id", "let me in").await;
        assert_eq!(outside.error().await["code"], "thread_not_found");

        let listed = within(server, &all, there, "/api/threads").await.body.to_string();
        assert!(!listed.contains(&thread), "{listed}");
        for path in
            [format!("/api/threads/{thread}/messages"), format!("/api/runs/{run}"), format!("/api/runs/{run}/context")]
        {
            assert_eq!(within(server, &all, there, &path).await.status, 404, "{path} from {there}");
            assert_eq!(within(server, &all, here, &path).await.status, 200, "{path} from {here}");
        }
        let body = json!({"model": "cos", "messages": [{"role": "user", "content": "let me in"}]});
        let refused = door.send(&body, &[("x-profile", there), ("x-thread-id", &thread)], &all).await;
        assert_eq!(refused.status(), 404);
        // The same client message id in the other profile is another message.
        outside.say(None, &format!("id-of-{here}"), "hello").await;
        let frames = outside.until(ends_run).await;
        let other = frames.iter().find_map(|frame| frame["threadId"].as_str()).unwrap();
        assert_ne!(other, thread);
        let seen: Vec<Value> = door.provider.turns().iter().map(|turn| turn.body.clone()).collect();
        assert!(!seen.last().unwrap().to_string().contains(&secret), "not in the prompt of the other");
        assert!(frames.iter().any(|frame| is(frame, "RUN_STARTED")));
    }
}

#[tokio::test]
async fn everybody_may_ask_who_they_are() {
    let door = Door::new(|_| Reply::text("hi")).await;
    let me = door.server.get("/api/me", KEY).await;
    assert_eq!(me.status, 200, "{me:?}");
    assert_eq!((me.body["user"].as_str(), me.body["profile"].as_str()), (Some("owner"), Some("personal")));
    assert_eq!((me.body["role"].as_str(), &me.body["allProfiles"]), (Some("admin"), &json!(true)), "the first key");
    assert_eq!((&me.body["grants"], &me.body["models"]["trouble"]), (&json!({"operatorLlm": true}), &Value::Null));
    assert!(me.body["models"]["usable"][0].as_str().unwrap().contains("scripted"), "{me:?}");
    assert!(me.body["keyId"].as_str().is_some_and(|id| !KEY.contains(id)));
    let anna = door.server.key("anna", "*", Role::Personal).await.secret;
    put(&door.server, &anna, "work", &json!({})).await;
    let me = within(&door.server, &anna, "work", "/api/me").await.body;
    assert_eq!((me["profile"].as_str(), &me["allProfiles"]), (Some("work"), &json!(true)));
}

#[tokio::test]
async fn a_disabled_user_is_refused_at_once_and_a_lost_grant_shows() {
    let server = TestServer::start().await;
    let key = server.key("anna", "personal", Role::Personal).await;
    let anna = UserId::parse("anna").unwrap();
    let change = async |change: UserChange| {
        server.db.store.system("test", async |tx| users::change(tx, &anna, change).await).await.unwrap();
    };
    assert_eq!(server.get("/api/me", &key.secret).await.body["grants"]["operatorLlm"], true);
    let told = server.app.keys().until_revoked(&key.id);
    change(UserChange { allow_operator_llm: Some(false), is_disabled: None }).await;
    timeout(Duration::from_secs(1), told).await.expect("within a second");
    assert_eq!(server.get("/api/me", &key.secret).await.body["grants"]["operatorLlm"], false);
    let mut socket = Client::open(server.address, &key.secret).await;
    assert_eq!(socket.arrived().await, [] as [Value; 0]);
    change(UserChange { allow_operator_llm: None, is_disabled: Some(true) }).await;
    assert_eq!(timeout(Duration::from_secs(1), socket.close_code()).await.expect("within a second"), 4001);
    server.get("/api/me", &key.secret).await.is_problem(401, "unauthorized", "disabled");
    change(UserChange { allow_operator_llm: None, is_disabled: Some(false) }).await;
    assert_eq!(server.get("/api/me", &key.secret).await.status, 200);
    server.stop().await;
}
