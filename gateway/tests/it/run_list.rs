//! The list of runs: everybody sees their own, newest first, with what became of each.

use adjutant_testkit::provider::{Reply, Turn};
use serde_json::{Value, json};

use crate::server::KEY;
use crate::ws_support::{House, ends_run};

fn script(turn: &Turn) -> Reply {
    if turn.last_user().starts_with("fail") { Reply::Status(400, "{}".to_owned()) } else { Reply::text("done") }
}

async fn page(house: &House, query: &str) -> Value {
    let answer = house.server.get(&format!("/api/runs{query}"), KEY).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.body
}

fn states(page: &Value) -> Vec<(&str, &str)> {
    let items = page["items"].as_array().unwrap();
    items.iter().map(|item| (item["said"].as_str().unwrap(), item["state"].as_str().unwrap())).collect()
}

#[tokio::test]
async fn runs_are_listed_newest_first_page_by_page_and_since_a_time() {
    let house = House::new(script).await;
    let mut client = house.owner().await;
    for said in ["one", "fail two", "three"] {
        client.say(None, said, said).await;
        client.until(ends_run).await;
    }
    let all = page(&house, "").await;
    assert_eq!(states(&all), [("three", "succeeded"), ("fail two", "failed"), ("one", "succeeded")]);
    assert_eq!(all["next"], Value::Null);
    let newest = &all["items"][0];
    assert_eq!(
        (&newest["unpricedSteps"], &newest["costs"], &newest["unknownCalls"]),
        (&json!(1), &json!([]), &json!(0))
    );
    assert!(all["items"][1]["error"]["code"].is_string(), "{all}");
    let run = house.server.get(&format!("/api/runs/{}", newest["id"].as_str().unwrap()), KEY).await.body;
    for field in ["threadId", "state", "model", "costs", "createdAt", "startedAt", "finishedAt"] {
        assert_eq!(newest[field], run[field], "{field}");
    }

    let first = page(&house, "?limit=2").await;
    assert_eq!(states(&first).len(), 2);
    let rest = page(&house, &format!("?limit=2&before={}", first["next"].as_str().unwrap())).await;
    assert_eq!((states(&rest), &rest["next"]), (vec![("one", "succeeded")], &Value::Null));

    // From the newest one on, as its own time says.
    let since = newest["createdAt"].as_str().unwrap().replace('+', "%2B");
    assert_eq!(states(&page(&house, &format!("?since={since}")).await), [("three", "succeeded")]);
    for wrong in ["yesterday", "2026-13-01T00:00:00Z", "-9999-01-01T00:00:00Z", ""] {
        let refused = house.server.get(&format!("/api/runs?since={wrong}"), KEY).await;
        refused.is_problem(400, "invalid_filter", wrong);
    }
    house.server.get("/api/runs?before=x", KEY).await.is_problem(400, "invalid_cursor", "a cursor");
}

#[tokio::test]
async fn runs_of_a_deleted_thread_are_not_listed() {
    let house = House::new(script).await;
    let mut client = house.owner().await;
    client.say(None, "one", "one").await;
    client.until(ends_run).await;
    let thread = page(&house, "").await["items"][0]["threadId"].as_str().unwrap().to_owned();
    let deleted =
        house.server.request("DELETE", &format!("/api/threads/{thread}")).bearer_auth(KEY).send().await.unwrap();
    assert_eq!(deleted.status(), 204);
    assert_eq!(page(&house, "").await["items"], json!([]));
}
