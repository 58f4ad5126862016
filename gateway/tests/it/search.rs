//! Search over one's messages: what is found, how it is shown, whose it is, and what cannot be asked.

use adjutant_core::scope::Role;
use adjutant_testkit::provider::Reply;
use serde_json::{Value, json};

use super::server::{KEY, answer};
use super::ws_support::{House, ends_run};

async fn found(house: &House, key: &str, q: &str) -> Vec<Value> {
    let mut url = url::Url::parse("http://x/api/search").unwrap();
    url.query_pairs_mut().append_pair("q", q);
    let page = house.server.get(&format!("/api/search?{}", url.query().unwrap()), key).await;
    assert_eq!(page.status, 200, "{q}: {page:?}");
    page.body["items"].as_array().unwrap().clone()
}

#[tokio::test]
async fn messages_are_found_by_words_phrases_and_beginnings_and_only_by_their_owner() {
    let house = House::new(|_| Reply::text("noted")).await;
    let mut client = house.owner().await;
    let mut threads = Vec::new();
    for (id, text) in [("a", "Buy oat milk on Monday"), ("b", "The Milky Way & <b>stars</b>"), ("c", "nothing of it")] {
        client.say(None, id, text).await;
        let frames = client.until(ends_run).await;
        threads.push(frames.iter().find_map(|frame| frame["threadId"].as_str()).unwrap().to_owned());
    }
    for (q, hits) in [
        ("milk", &[1, 0][..]),
        ("milk ", &[0]),
        ("MONDAY milk", &[0]),
        ("\"oat milk\"", &[0]),
        ("\"milk oat\"", &[]),
        ("milk -monday ", &[]),
        ("stars or monday", &[1, 0]),
        ("noted", &[2, 1, 0]),
        ("& | ! <-> :* ()", &[]),
        ("it's 'quoted' \\ \u{0} %", &[]),
        ("'; drop table messages; --", &[]),
    ] {
        let found = found(&house, KEY, q).await;
        let ids: Vec<&str> = found.iter().map(|hit| hit["threadId"].as_str().unwrap()).collect();
        assert_eq!(ids, hits.iter().map(|at| threads[*at].as_str()).collect::<Vec<_>>(), "{q}");
    }
    let hit = &found(&house, KEY, "way").await[0];
    let piece = |text: &str, hit: bool| json!({"text": text, "hit": hit});
    assert_eq!(hit["snippet"], json!([piece("Milky ", false), piece("Way", true), piece(" &  stars", false)]));
    assert_eq!((&hit["role"], hit["messageId"].is_string()), (&json!("user"), true));
    // Page by page.
    let first = house.server.get("/api/search?q=noted&limit=2", KEY).await.body;
    let second =
        house.server.get(&format!("/api/search?q=noted&limit=2&before={}", first["next"].as_str().unwrap()), KEY).await;
    assert_eq!(second.body["items"][0]["threadId"], json!(threads[0]));
    for user in [("owner", "work"), ("ben", "personal")] {
        let key = house.server.key(user.0, user.1, Role::Admin).await;
        assert_eq!(found(&house, &key.secret, "milk").await, Vec::<Value>::new());
    }
    answer(house.server.request("DELETE", &format!("/api/threads/{}", threads[0])).bearer_auth(KEY)).await;
    assert_eq!(found(&house, KEY, "monday").await, Vec::<Value>::new(), "a deleted thread is not searched");
    for (q, code) in
        [(String::new(), "query_empty"), ("%20".to_owned(), "query_empty"), ("x".repeat(9_000), "query_too_long")]
    {
        house.server.get(&format!("/api/search?q={q}"), KEY).await.is_problem(400, code, code);
    }
}
