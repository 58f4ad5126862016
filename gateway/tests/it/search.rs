//! Search over one's messages: what is found, how it is shown, whose it is, and what cannot be asked.

use adjutant_core::ids::ThreadId;
use adjutant_core::limits;
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

/// Who said what is found, and in which of these threads, newest first.
async fn found_in(house: &House, key: &str, threads: &[String], query: &str) -> Vec<String> {
    let page = house.server.get(&format!("/api/search?q=milk{query}"), key).await;
    assert_eq!(page.status, 200, "{query}: {page:?}");
    let told = |hit: &Value| {
        let place = threads.iter().position(|thread| hit["threadId"] == **thread).unwrap();
        format!("{} {place}", hit["role"].as_str().unwrap())
    };
    page.body["items"].as_array().unwrap().iter().map(told).collect()
}

#[tokio::test]
async fn a_search_can_be_for_one_side_a_time_and_a_thread() {
    let house = House::new(|turn| Reply::text(&format!("no {}", turn.last_user()))).await;
    let mut client = house.owner().await;
    let mut threads = Vec::new();
    for (id, text) in [("a", "milk one"), ("b", "milk two")] {
        client.say(None, id, text).await;
        threads.push(client.until(ends_run).await.pop().unwrap()["threadId"].as_str().unwrap().to_owned());
    }
    let at = async |thread: &str| {
        let page = house.server.get(&format!("/api/threads/{thread}/messages"), KEY).await.body;
        page["items"][0]["createdAt"].as_str().unwrap().replace('+', "%2B")
    };
    let second = at(&threads[1]).await;
    let all = ["assistant 1", "user 1", "assistant 0", "user 0"];
    for (query, expected) in [
        (String::new(), &all[..]),
        ("&role=user".to_owned(), &["user 1", "user 0"]),
        ("&role=assistant".to_owned(), &["assistant 1", "assistant 0"]),
        (format!("&since={second}"), &["assistant 1", "user 1"]),
        (format!("&until={second}"), &["assistant 0", "user 0"]),
        (format!("&since={second}&until={second}"), &[]),
        (format!("&thread={}", threads[0]), &["assistant 0", "user 0"]),
        (format!("&thread={}&role=user&until={second}", threads[0]), &["user 0"]),
        (format!("&thread={}&since={second}", threads[0]), &[]),
        (format!("&thread={}", ThreadId::new()), &[]),
    ] {
        assert_eq!(found_in(&house, KEY, &threads, &query).await, expected, "{query}");
    }
    // Page by page, within the filter.
    let first = house.server.get("/api/search?q=milk&role=user&limit=1", KEY).await.body;
    let next = first["next"].as_str().unwrap();
    assert_eq!(found_in(&house, KEY, &threads, &format!("&role=user&limit=1&before={next}")).await, ["user 0"]);
    // The thread of somebody else is one in which nothing is found.
    let ben = house.server.key("ben", "personal", Role::Personal).await.secret;
    assert_eq!(found_in(&house, &ben, &threads, &format!("&thread={}", threads[0])).await, Vec::<String>::new());
    let body = json!({"archived": true});
    let request = house.server.request("PATCH", &format!("/api/threads/{}", threads[0])).bearer_auth(KEY).json(&body);
    assert_eq!(answer(request).await.status, 200);
    let archived = found(&house, KEY, "milk").await;
    let archived: Vec<bool> = archived.iter().map(|hit| hit["archived"].as_bool().unwrap()).collect();
    assert_eq!(archived, [false, false, true, true]);
    for query in ["role=tool", "role=", "since=yesterday", "until=-9999-01-01T00:00:00Z", "thread=x"] {
        let refused = house.server.get(&format!("/api/search?q=milk&{query}"), KEY).await;
        refused.is_problem(400, "invalid_filter", query);
    }
}

#[tokio::test]
async fn threads_are_found_by_words_of_their_titles() {
    let house = House::new(|_| Reply::text("milk")).await;
    let mut client = house.owner().await;
    for (id, title, archived) in
        [("a", "Trip to Oslo", false), ("b", "Oslo's trams & boats", true), ("c", "Buy milk", false)]
    {
        client.say(None, id, "Oslo").await;
        let thread = client.until(ends_run).await.pop().unwrap()["threadId"].as_str().unwrap().to_owned();
        let body = json!({"title": title, "archived": archived});
        let request = house.server.request("PATCH", &format!("/api/threads/{thread}")).bearer_auth(KEY).json(&body);
        assert_eq!(answer(request).await.status, 200);
    }
    client.say(None, "d", "Oslo without a title").await;
    client.until(ends_run).await;
    let titles = async |key: &str, query: &str| {
        let page = house.server.get(&format!("/api/threads?{query}"), key).await;
        assert_eq!(page.status, 200, "{query}: {page:?}");
        let title = |item: &Value| item["title"].as_str().unwrap_or("-").to_owned();
        page.body["items"].as_array().unwrap().iter().map(title).collect::<Vec<_>>()
    };
    for (query, expected) in [
        ("q=oslo", &["Trip to Oslo"][..]),
        ("q=oslo&archived=all", &["Oslo's trams & boats", "Trip to Oslo"]),
        ("q=osl&archived=true", &["Oslo's trams & boats"]),
        ("q=osl%20", &[]),
        ("q=%22to%20oslo%22", &["Trip to Oslo"]),
        ("q=oslo%20-trip&archived=all", &["Oslo's trams & boats"]),
        ("q=milk%20or%20trip", &["Buy milk", "Trip to Oslo"]),
        ("q=%26%20%7C%20!%20()", &[]),
        ("q=oslo&pinned=true", &[]),
        ("q=oslo&deleted=true", &[]),
    ] {
        assert_eq!(titles(KEY, query).await, expected, "{query}");
    }
    let first = house.server.get("/api/threads?q=oslo&archived=all&limit=1", KEY).await.body;
    let rest = format!("q=oslo&archived=all&limit=1&before={}", first["next"].as_str().unwrap());
    assert_eq!(titles(KEY, &rest).await, ["Trip to Oslo"]);
    for user in [("owner", "work"), ("ben", "personal")] {
        let key = house.server.key(user.0, user.1, Role::Admin).await;
        assert_eq!(titles(&key.secret, "q=oslo&archived=all").await, Vec::<String>::new());
    }
    for (q, code) in [("", "query_empty"), ("%20", "query_empty")] {
        house.server.get(&format!("/api/threads?q={q}"), KEY).await.is_problem(400, code, code);
    }
    let long = "x".repeat(limits::SEARCH_CHARS + 1);
    house.server.get(&format!("/api/threads?q={long}"), KEY).await.is_problem(400, "query_too_long", "too long");
}
