//! Calls that are under way at a real MCP server: what it asks a person, how far it is, and that it learns of the end of
//! a run. In both generations of the protocol; the server itself says what reached it.

use adjutant_core::scope::Role;
use adjutant_testkit::db::TestDb;
use adjutant_testkit::provider::{Provider, Reply, Turn};
use serde_json::{Value, json};

use super::peers::Peer;
use super::server::{Answer, KEY, NewKey, TestServer, answer, soon};
use super::ws_ag_ui::judge_frames;
use super::ws_support::{Client, Folder, ends_run, is_custom, serve, text_of};

/// The same server, once with a session and once without.
const GENERATIONS: [&str; 2] = ["session", "stateless"];

/// "session order tea": calls that tool of that server, and then says what came of it.
fn obedient(turn: &Turn) -> Reply {
    let said = turn.last_user();
    match (turn.round(), said.split(' ').collect::<Vec<_>>().as_slice()) {
        (0, [server, tool, item]) => Reply::call(&format!("{server}__{tool}"), &json!({"item": item})),
        _ => Reply::text(&turn.results().join(" | ")),
    }
}

struct Shop {
    server: TestServer,
    peer: Peer,
    provider: Provider,
    _folder: Folder,
}

impl Shop {
    async fn open() -> Self {
        let peer = Peer::start("bin/python", "fastmcp_shop.py").await;
        let at = |lifecycle| json!({"type": "http", "url": peer.base("/mcp"), "lifecycle": lifecycle});
        let servers = json!({"session": at("initialize"), "stateless": at("stateless")});
        let (provider, folder) = (Provider::start(obedient).await, Folder::new());
        std::fs::write(folder.mcp(), json!({"mcpServers": servers}).to_string()).unwrap();
        let server = serve(TestDb::new().await, &provider, &folder).await;
        Self { server, peer, provider, _folder: folder }
    }

    async fn owner(&self) -> Client {
        Client::open(self.server.address, KEY).await
    }

    /// Another user, and another profile of the same one.
    async fn others(&self) -> Vec<(Client, NewKey)> {
        let mut others = Vec::new();
        for (user, profile) in [("ben", "personal"), ("owner", "work")] {
            let key = self.server.key(user, profile, Role::Personal).await;
            others.push((Client::open(self.server.address, &key.secret).await, key));
        }
        others
    }

    /// What the server saw of an item, in its own words.
    async fn saw(&self, what: &str, item: &str) -> Vec<Value> {
        let seen: Value = reqwest::get(self.peer.base("/seen")).await.unwrap().json().await.unwrap();
        let of_item = |entry: &&Value| entry.as_str().or(entry["item"].as_str()) == Some(item);
        seen[what].as_array().unwrap().iter().filter(of_item).cloned().collect()
    }

    async fn question(&self, method: &str, id: &Value, key: &str, body: &Value) -> Answer {
        let path = format!("/api/questions/{}", id.as_str().unwrap());
        answer(self.server.request(method, &path).header("x-api-key", key).json(body)).await
    }

    /// The states of all questions of the owner, the newest first.
    async fn states(&self) -> Vec<Value> {
        let found = self.server.get("/api/questions?state=all", KEY).await.body["items"].clone();
        found.as_array().unwrap().iter().map(|question| question["state"].clone()).collect()
    }

    async fn close(self) {
        assert_eq!(self.provider.faults(), Vec::<String>::new());
        self.server.stop().await;
    }
}

fn is_asked(frame: &Value) -> bool {
    is_custom(frame, "question.asked")
}

fn is_progress(frame: &Value) -> bool {
    is_custom(frame, "tool.progress")
}

/// Says it and waits for the question.
async fn asked(client: &mut Client, text: &str) -> Value {
    client.say(None, text, text).await;
    client.until(is_asked).await.pop().unwrap()
}

fn values() -> Value {
    json!({"name": "Ann", "size": "l", "gift": true, "pieces": 2, "weight": 0.5})
}

/// What the model said in the end, and how the run ended.
async fn end(client: &mut Client) -> (String, Value) {
    let frames = client.until(ends_run).await;
    (text_of(&frames), frames.last().unwrap()["event"]["outcome"]["type"].clone())
}

#[tokio::test]
async fn a_form_that_is_filled_in_over_the_socket_reaches_the_server_that_asks() {
    let shop = Shop::open().await;
    let (mut one, mut two) = (shop.owner().await, shop.owner().await);
    for server in GENERATIONS {
        let question = asked(&mut one, &format!("{server} order {server}-tea")).await["event"]["value"].clone();
        let mut frames = two.until(is_asked).await;
        assert_eq!(frames.last().unwrap()["event"]["value"], question, "on every socket");
        assert_eq!(question["name"], format!("{server}__order"));
        assert_eq!(question["message"], format!("Details of {server}-tea?"));
        let mut fields = question["fields"].as_array().unwrap().clone();
        fields.sort_by_key(|field| field["name"].as_str().unwrap().to_owned());
        let expected = json!([
            {"name": "gift", "title": "Gift", "required": true, "kind": "boolean"},
            {"name": "name", "title": "For whom?", "required": true, "kind": "text", "minLength": 1, "maxLength": 50},
            {"name": "pieces", "title": "Pieces", "required": true, "kind": "integer", "minimum": 1, "maximum": 9},
            {"name": "size", "title": "Size", "required": true, "kind": "choice", "options": [["s", "s"], ["l", "l"]],
             "multiple": false},
            {"name": "weight", "title": "Weight", "required": true, "kind": "number", "minimum": 0.0},
        ]);
        assert_eq!(Value::from(fields), expected);

        let id = &question["questionId"];
        let mut wrong = values();
        wrong["size"] = json!("xl");
        two.send(json!({"type": "question.answer", "questionId": id, "action": "accept", "values": wrong})).await;
        assert_eq!(two.error().await["code"], "invalid_answer", "and the question stays open");
        two.send(json!({"type": "question.answer", "questionId": id, "action": "accept", "values": values()})).await;
        let (said, outcome) = end(&mut one).await;
        assert!(said.contains(&format!("accept: 2 {server}-tea (l) for Ann")), "{said}");
        assert_eq!(outcome, "success");
        frames.extend(two.until(ends_run).await);
        judge_frames(&frames).await;
        let arrived = json!({"item": format!("{server}-tea"), "action": "accept", "values": values()});
        assert_eq!(shop.saw("answered", &format!("{server}-tea")).await, [arrived]);
        one.send(json!({"type": "question.answer", "questionId": id, "action": "decline"})).await;
        assert_eq!(one.error().await["code"], "already_answered");
    }
    shop.close().await;
}

#[tokio::test]
async fn a_form_that_is_filled_in_declined_or_closed_over_rest_reaches_the_server_that_asks() {
    let shop = Shop::open().await;
    let mut client = shop.owner().await;
    for server in GENERATIONS {
        for (action, sent, state) in
            [("accept", values(), "accepted"), ("decline", json!({}), "declined"), ("cancel", json!({}), "cancelled")]
        {
            let item = format!("{server}-{action}");
            asked(&mut client, &format!("{server} order {item}")).await;
            let open = shop.server.get("/api/questions?state=pending", KEY).await.body["items"].clone();
            assert_eq!(open.as_array().unwrap().len(), 1, "{open}");
            assert_eq!((&open[0]["server"], &open[0]["name"]), (&json!(server), &json!(format!("{server}__order"))));
            let answered = shop.question("POST", &open[0]["id"], KEY, &json!({"action": action, "values": sent})).await;
            assert_eq!((answered.status, &answered.body["state"]), (200, &json!(state)), "{answered:?}");
            let (said, outcome) = end(&mut client).await;
            assert!(said.contains(action) && outcome == "success", "{said}");
            let values = if action == "accept" { values() } else { Value::Null };
            let arrived = json!({"item": item, "action": action, "values": values});
            assert_eq!(shop.saw("answered", &item).await, [arrived]);
            let late = shop.question("POST", &open[0]["id"], KEY, &json!({"action": "cancel"})).await;
            late.is_problem(409, "already_answered", &item);
        }
    }
    shop.close().await;
}

#[tokio::test]
async fn a_question_is_seen_and_answered_by_nobody_else() {
    let shop = Shop::open().await;
    let mut client = shop.owner().await;
    let mut others = shop.others().await;
    for server in GENERATIONS {
        let question = asked(&mut client, &format!("{server} order {server}-tea")).await;
        let (id, thread) = (&question["event"]["value"]["questionId"], question["threadId"].as_str().unwrap());
        let accept = json!({"action": "accept", "values": values()});
        for (socket, key) in &mut others {
            assert_eq!(socket.arrived().await, Vec::<Value>::new());
            for path in ["/api/questions?state=pending", "/api/questions?state=all", "/api/threads"] {
                assert_eq!(shop.server.get(path, &key.secret).await.body["items"], json!([]), "{path}");
            }
            let refused = shop.question("POST", id, &key.secret, &accept).await;
            refused.is_problem(404, "not_found", "a foreign question");
            socket
                .send(json!({"type": "question.answer", "questionId": id, "action": "accept", "values": values()}))
                .await;
            assert_eq!(socket.error().await["code"], "not_found");
            socket.resume(thread, 0).await;
            assert_eq!(socket.error().await["code"], "not_found");
        }
        assert_eq!(shop.states().await[0], "pending");
        assert_eq!(shop.saw("answered", &format!("{server}-tea")).await, Vec::<Value>::new());
        client.send(json!({"type": "question.answer", "questionId": id, "action": "decline"})).await;
        end(&mut client).await;
        for (socket, _) in &mut others {
            assert_eq!(socket.arrived().await, Vec::<Value>::new());
        }
    }
    shop.close().await;
}

#[tokio::test]
async fn a_run_that_is_cancelled_while_its_tool_asks_takes_the_question_back() {
    let shop = Shop::open().await;
    let mut client = shop.owner().await;
    for server in GENERATIONS {
        let item = format!("{server}-tea");
        let question = asked(&mut client, &format!("{server} order {item}")).await;
        client.send(json!({"type": "run.cancel", "runId": question["runId"]})).await;
        assert_eq!(end(&mut client).await.1, "cancelled");
        assert_eq!(shop.states().await[0], "withdrawn");
        let id = &question["event"]["value"]["questionId"];
        let late = shop.question("POST", id, KEY, &json!({"action": "accept", "values": values()})).await;
        late.is_problem(409, "already_answered", "after the end");
        // Without a session no request is open while a person is asked: there is nothing to cancel.
        if server == "session" {
            soon("the server learns of it", async || shop.saw("cancelled", &item).await.len() == 1).await;
        }
    }
    // The bridges are closed: what has not arrived by now never does.
    let (peer, provider) = (shop.peer, shop.provider);
    shop.server.stop().await;
    let seen: Value = reqwest::get(peer.base("/seen")).await.unwrap().json().await.unwrap();
    assert_eq!((&seen["asked"], &seen["answered"]), (&json!(["session-tea", "stateless-tea"]), &json!([])));
    assert_eq!(provider.faults(), Vec::<String>::new());
}

#[tokio::test]
async fn the_server_itself_learns_that_a_run_was_cancelled_while_its_tool_ran() {
    let shop = Shop::open().await;
    let mut client = shop.owner().await;
    for server in GENERATIONS {
        let item = format!("{server}-box");
        client.say(None, &item, &format!("{server} pack {item}")).await;
        let frame = client.until(is_progress).await.pop().unwrap();
        assert_eq!(shop.saw("cancelled", &item).await, Vec::<Value>::new());
        client.send(json!({"type": "run.cancel", "runId": frame["runId"]})).await;
        assert_eq!(end(&mut client).await.1, "cancelled");
        soon("the server learns of it", async || shop.saw("cancelled", &item).await.len() == 1).await;
        assert_eq!((shop.saw("begun", &item).await.len(), shop.saw("ended", &item).await.len()), (1, 0));
    }
    shop.close().await;
}

#[tokio::test]
async fn how_far_a_tool_is_reaches_the_socket() {
    let shop = Shop::open().await;
    let (mut client, mut others) = (shop.owner().await, shop.others().await);
    let mut calls = Vec::new();
    for server in GENERATIONS {
        let item = format!("{server}-box");
        client.say(None, &item, &format!("{server} pack {item}")).await;
        let frames = client.until(is_progress).await;
        let begun = frames.iter().find(|frame| frame["event"]["type"] == "TOOL_CALL_START").unwrap();
        let progress = &frames.last().unwrap()["event"]["value"];
        let call = &begun["event"]["toolCallId"];
        let expected = json!({"toolCallId": call, "progress": 1.0, "total": 4.0, "message": format!("packing {item}")});
        assert_eq!(progress, &expected);
        judge_frames(&frames).await;
        calls.push(item);
    }
    let go = reqwest::Client::new().post(shop.peer.base("/go")).send().await.unwrap();
    assert!(go.status().is_success());
    let ends = |item: &str| {
        let packed = format!("packed {item}");
        move |frame: &Value| frame["event"]["content"].as_str().is_some_and(|text| text.contains(&packed))
    };
    client.until_all(&[&ends(&calls[0]), &ends(&calls[1])]).await;
    for (socket, _) in &mut others {
        assert_eq!(socket.arrived().await, Vec::<Value>::new());
    }
    for item in &calls {
        assert_eq!((shop.saw("ended", item).await.len(), shop.saw("cancelled", item).await.len()), (1, 0));
    }
}
