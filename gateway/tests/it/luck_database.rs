//! The database gone and back, while nothing happens and while a run streams: nothing acknowledged is lost, nothing is
//! acknowledged that is not kept, and no crash is counted.

use std::sync::Arc;

use adjutant_testkit::provider::{Piece, Reply, Turn};
use serde_json::{Value, json};
use sqlx::PgPool;
use tokio::sync::Semaphore;

use super::server::{KEY, TestServer, answer, soon};
use super::ws_support::{House, ends_run, is, text_of};

/// The database of one server, as it is taken away and given back.
pub(crate) struct Outage {
    maintenance: PgPool,
    name: String,
}

impl Outage {
    pub(crate) async fn of(server: &TestServer) -> Self {
        let admin = server.db.admin();
        let name: String = sqlx::query_scalar("select current_database()").fetch_one(&admin).await.unwrap();
        admin.close().await;
        let url = server.db.admin_url().replace(&format!("/{name}?"), "/postgres?");
        Self { maintenance: PgPool::connect(&url).await.unwrap(), name }
    }

    pub(crate) async fn begin(&self) {
        self.say(&format!(
            "alter database {0} connection limit 0;
             select pg_terminate_backend(pid) from pg_stat_activity where datname = '{0}'",
            self.name
        ))
        .await;
    }

    pub(crate) async fn end(&self) {
        self.say(&format!("alter database {} connection limit -1", self.name)).await;
    }

    async fn say(&self, statements: &str) {
        sqlx::raw_sql(sqlx::AssertSqlSafe(statements)).execute(&self.maintenance).await.unwrap();
    }
}

#[tokio::test]
async fn without_the_database_every_door_says_so_and_the_same_message_is_taken_when_it_is_back() {
    let house = House::new(|_| Reply::text("hello")).await;
    let server = &house.server;
    let mut client = house.owner().await;
    client.say(None, "before", "hello").await;
    let frames = client.until(ends_run).await;
    let thread = frames.last().unwrap()["threadId"].as_str().unwrap().to_owned();
    let outage = Outage::of(server).await;
    outage.begin().await;

    client.say(Some(&thread), "meanwhile", "hello?").await;
    let body = json!({"model": "cos", "messages": [{"role": "user", "content": "hi"}]});
    let asked = || server.request("POST", "/v1/chat/completions").bearer_auth(KEY).json(&body);
    // Each waits some seconds for a connection: they wait together.
    let (refused, threads, ready, completion) = tokio::join!(
        client.error(),
        server.get("/api/threads", KEY),
        answer(server.request("GET", "/readyz")),
        answer(asked()),
    );
    assert_eq!((&refused["code"], &refused["clientMessageId"]), (&json!("database_unavailable"), &json!("meanwhile")));
    threads.is_problem(503, "database_unavailable", "REST");
    ready.is_problem(503, "not_ready", "readyz");
    completion.is_refused(503, "database_unavailable", "the OpenAI door");
    assert_eq!(answer(server.request("GET", "/api/health")).await.status, 200);
    // Nothing could be replayed: the client is told to come again.
    client.resume(&thread, 0).await;
    assert_eq!(client.close_code().await, 1013);

    outage.end().await;
    soon("ready again", async || answer(server.request("GET", "/readyz")).await.status == 200).await;
    let mut client = house.owner().await;
    client.say(Some(&thread), "meanwhile", "hello?").await;
    let frames = client.until(ends_run).await;
    assert_eq!(frames.last().unwrap()["event"]["outcome"]["type"], "success");
    let messages = server.get(&format!("/api/threads/{thread}/messages"), KEY).await.body;
    let ids: Vec<&str> =
        messages["items"].as_array().unwrap().iter().filter_map(|item| item["clientMessageId"].as_str()).collect();
    assert_eq!(ids, ["before", "meanwhile"]);
    assert_eq!(answer(asked()).await.status, 200);
}

#[tokio::test]
async fn a_run_that_streams_while_the_database_goes_is_finished_when_it_is_back() {
    let hold = Arc::new(Semaphore::new(0));
    let gate = Arc::clone(&hold);
    let house = House::new(move |_: &Turn| {
        let (before, after) = (Piece::Text("before ".to_owned()), Piece::Text("after".to_owned()));
        Reply::Stream(vec![before, Piece::Hold(Arc::clone(&gate)), after])
    })
    .await;
    let mut client = house.owner().await;
    client.say(None, "one", "hello").await;
    let mut frames = client.until(|frame| is(frame, "TEXT_MESSAGE_CONTENT")).await;
    if !frames.iter().any(|frame| frame["type"] == "ack") {
        frames.extend(client.until(|frame| frame["type"] == "ack").await);
    }
    let ack = frames.iter().find(|frame| frame["type"] == "ack").unwrap().clone();
    let outage = Outage::of(&house.server).await;
    outage.begin().await;
    // Words go on meanwhile: they need no database. What cannot be committed is not told as done.
    hold.add_permits(1);
    client.until(|frame| frame["event"]["delta"] == "after").await;
    soon("the worker gives up", async || house.server.app.engine().active_runs() == 0).await;
    outage.end().await;
    hold.add_permits(100);
    let frames = client.until(ends_run).await;
    assert_eq!(frames.last().unwrap()["event"]["outcome"]["type"], "success");
    assert!(text_of(&frames).ends_with("before after"), "{}", text_of(&frames));

    let run = house.server.get(&format!("/api/runs/{}", ack["runId"].as_str().unwrap()), KEY).await.body;
    assert_eq!((&run["state"], &run["crashes"]), (&json!("succeeded"), &json!(0)), "{run}");
    let path = format!("/api/threads/{}/messages", ack["threadId"].as_str().unwrap());
    let messages = house.server.get(&path, KEY).await.body;
    let said = |item: &Value| item["content"][0]["text"].as_str().unwrap().to_owned();
    let said: Vec<String> = messages["items"].as_array().unwrap().iter().map(said).collect();
    assert_eq!(said, ["hello", "before after"], "the answer is there once");
}

#[tokio::test]
async fn a_database_that_only_restarts_costs_no_message_and_no_socket() {
    let house = House::new(|_| Reply::text("hello")).await;
    let mut client = house.owner().await;
    let outage = Outage::of(&house.server).await;
    for number in 0..3 {
        client.say(None, &format!("message {number}"), "hello").await;
        assert_eq!(client.until(ends_run).await.last().unwrap()["event"]["outcome"]["type"], "success");
        outage.begin().await;
        outage.end().await;
        soon("ready again", async || answer(house.server.request("GET", "/readyz")).await.status == 200).await;
    }
    client.say(None, "last", "hello").await;
    client.until(ends_run).await;
}
