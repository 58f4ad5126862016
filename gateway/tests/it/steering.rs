//! Messages that steer the run that is going, over AG-UI and REST.

use std::sync::Arc;

use adjutant_testkit::provider::{Piece, Reply, Turn};
use serde_json::{Value, json};
use tokio::sync::Semaphore;

use crate::agui::{events, input, run, runs, text, user};
use crate::server::{KEY, answer, soon};
use crate::ws_ag_ui::judge;
use crate::ws_support::House;

/// A run that holds still before its first call until the gate opens, then answers what joined it.
fn held(gate: &Arc<Semaphore>) -> impl Fn(&Turn) -> Reply + Send + Sync + 'static {
    let gate = Arc::clone(gate);
    move |turn| match (turn.last_user().as_str(), turn.round()) {
        ("buy milk", 0) => Reply::Stream(vec![
            Piece::Text("Let me look.".to_owned()),
            Piece::Hold(Arc::clone(&gate)),
            Piece::Call {
                id: "c".to_owned(),
                name: "effects__look".to_owned(),
                arguments: json!({"key": "k"}).to_string(),
            },
        ]),
        ("and bread", 0) => Reply::text("Milk and bread."),
        (other, round) => panic!("{other} in round {round}"),
    }
}

#[tokio::test]
async fn a_message_that_steers_joins_the_run_that_is_going_and_is_told_its_end() {
    let gate = Arc::new(Semaphore::new(0));
    let house = House::new(held(&gate)).await;
    let post = |input: &Value| house.server.request("POST", "/api/agui").bearer_auth(KEY).json(input).send();
    let refused = |input: &Value| house.server.request("POST", "/api/agui").bearer_auth(KEY).json(input);
    let first = post(&input("t", &json!([user("1", "buy milk")]))).await.unwrap();
    soon("the model is asked", || async { house.provider.turns().len() == 1 }).await;
    let mut steering = input("t", &json!([user("1", "buy milk"), user("2", "and bread")]));
    for odd in [json!("later"), json!(7), json!(["steer"])] {
        steering["forwardedProps"] = json!({"mode": odd});
        answer(refused(&steering)).await.is_problem(400, "unsupported_mode", "a word of nobody's");
    }
    steering["forwardedProps"] = json!({"mode": "steer", "theme": "dark"});
    let second = post(&steering).await.unwrap();
    let (going, joined) = (first.headers()["x-run-id"].clone(), second.headers()["x-run-id"].clone());
    assert_ne!(going, joined);
    gate.add_permits(1);
    let (first, second) = (events(&first.text().await.unwrap()), events(&second.text().await.unwrap()));
    assert_eq!(text(&first), "Let me look.Milk and bread.");
    assert_eq!(text(&second), "Milk and bread.");
    let state = second.iter().find(|event| event["value"]["state"] == "joined").unwrap();
    assert_eq!(state["value"]["joinedRunId"], going.to_str().unwrap());
    assert_eq!(
        (&second.last().unwrap()["runId"], &second.last().unwrap()["outcome"]["type"]),
        (&json!("run-1"), &json!("success"))
    );
    assert_eq!((house.provider.turns().len(), runs(&house).await), (2, 2));
    assert_eq!(text(&run(&house.server, &steering).await), "Milk and bread.", "the same request again");
    let lines: Vec<String> = second.iter().map(Value::to_string).collect();
    judge(&lines.join("\n")).await;
    house.server.stop().await;
}

#[tokio::test]
async fn a_message_over_rest_steers_too() {
    let gate = Arc::new(Semaphore::new(0));
    let house = House::new(held(&gate)).await;
    let post = |body: Value| answer(house.server.request("POST", "/api/messages").bearer_auth(KEY).json(&body));
    let first = post(json!({"clientMessageId": "1", "content": "buy milk"})).await.body;
    soon("the model is asked", || async { house.provider.turns().len() == 1 }).await;
    let mut steering = json!({"clientMessageId": "2", "content": "and bread", "threadId": first["threadId"]});
    for (mode, code) in [(json!("later"), "unsupported_mode"), (json!(7), "invalid_body")] {
        steering["mode"] = mode;
        post(steering.clone()).await.is_problem(400, code, "a word of nobody's");
    }
    steering["mode"] = json!("steer");
    let accepted = post(steering.clone()).await;
    assert_eq!(accepted.status, 202);
    gate.add_permits(1);
    let path = |run: &Value| format!("/api/runs/{}", run["runId"].as_str().unwrap());
    let of = async |run: &Value| house.server.get(&path(run), KEY).await.body;
    soon("the run ends", || async { of(&first).await["state"] == "succeeded" }).await;
    let joined = of(&accepted.body).await;
    assert_eq!((&joined["state"], &joined["joinedRunId"]), (&json!("joined"), &first["runId"]));
    assert_eq!(post(steering).await.body, accepted.body, "the first answer again");
    assert_eq!(house.provider.turns().len(), 2);
    house.server.stop().await;
}
