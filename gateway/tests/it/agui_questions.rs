//! Tools that ask a person, over AG-UI: the run is interrupted, a later request answers, and nothing is asked or told twice.
//! The tools are those of server-everything.

use adjutant_core::ids::QuestionId;
use adjutant_core::scope::Role;
use adjutant_testkit::provider::{Reply, Turn};
use serde_json::{Value, json};

use crate::agui::{input, interrupt, kinds, run, runs, text, user};
use crate::peers::Peer;
use crate::server::{Answer, KEY, answer, soon};
use crate::ws_ag_ui::judge;
use crate::ws_support::{House, ends_run, is_custom};

const ASK: &str = "everything__trigger-elicitation-request";
const LONG: &str = "everything__trigger-long-running-operation";

fn script(turn: &Turn) -> Reply {
    let results = || Reply::text(&turn.results().join(" / "));
    match (turn.last_user().as_str(), turn.round()) {
        ("ask me", 0) => Reply::call(ASK, &json!({})),
        ("ask me twice", 0) => Reply::calls(&[(ASK, json!({})), (ASK, json!({}))]),
        ("ask and buy", 0) => Reply::calls(&[(ASK, json!({})), ("effects__effect", json!({"key": "milk"}))]),
        ("take long", 0) => Reply::call(LONG, &json!({"duration": 0.2, "steps": 2})),
        ("ask me" | "ask me twice" | "ask and buy" | "take long", _) => results(),
        (other, _) => panic!("{other}"),
    }
}

/// A house with a server whose tools ask, and the server.
async fn house() -> (House, Peer) {
    let everything = Peer::start("bin/node", "everything.mjs").await;
    let house = House::with(script, &[("everything", &everything.base("/mcp"))]).await;
    for (server, policy) in [("everything", "auto"), ("effects", "ask")] {
        let request = house.server.request("PUT", &format!("/api/policies/{server}")).bearer_auth(KEY);
        assert_eq!(answer(request.json(&json!({"policy": policy}))).await.status, 200);
    }
    (house, everything)
}

fn interrupts(told: &[Value]) -> Vec<Value> {
    interrupt(told);
    told.last().unwrap()["outcome"]["interrupts"].as_array().unwrap().clone()
}

fn of_reason<'a>(interrupts: &'a [Value], reason: &str) -> Vec<&'a Value> {
    interrupts.iter().filter(|interrupt| interrupt["reason"] == reason).collect()
}

fn entry(id: &Value, status: &str, payload: Value) -> Value {
    let mut entry = json!({"interruptId": id, "status": status});
    if !payload.is_null() {
        entry["payload"] = payload;
    }
    entry
}

fn resume(thread: &str, said: &str, entries: Value) -> Value {
    let mut input = input(thread, &json!([user("1", said)]));
    input["resume"] = entries;
    input
}

async fn refused(house: &House, input: &Value) -> Answer {
    answer(house.server.request("POST", "/api/agui").bearer_auth(KEY).json(input)).await
}

async fn open_questions(house: &House) -> usize {
    house.server.get("/api/questions", KEY).await.body["items"].as_array().unwrap().len()
}

#[tokio::test]
async fn a_question_interrupts_the_run_and_its_answer_goes_on_with_it() {
    let (house, _everything) = house().await;
    let asked = input("t", &json!([user("1", "ask me")]));
    let mut all = run(&house.server, &asked).await;
    let question = interrupt(&all).clone();
    let call = all.iter().find(|event| event["type"] == "TOOL_CALL_START").unwrap()["toolCallId"].clone();
    assert_eq!((&question["reason"], &question["toolCallId"]), (&json!("input_required"), &call));
    assert_eq!(question["message"], "everything asks: Please provide inputs for the following fields:");
    assert_eq!(question["metadata"], json!({"name": ASK, "server": "everything"}));
    assert!(
        question["expiresAt"].as_str().unwrap().parse::<chrono::DateTime<chrono::Utc>>().unwrap() > chrono::Utc::now()
    );
    let schema = &question["responseSchema"];
    assert_eq!((&schema["required"], &schema["additionalProperties"]), (&json!(["name"]), &json!(false)));
    let is = |field: &str, kind: &str| assert_eq!(schema["properties"][field]["type"], kind, "{field}: {schema}");
    for (field, kind) in [
        ("name", "string"),
        ("check", "boolean"),
        ("integer", "integer"),
        ("number", "number"),
        ("titledSingleSelectEnum", "string"),
        ("titledMultipleSelectEnum", "array"),
    ] {
        is(field, kind);
    }
    assert_eq!(
        (&schema["properties"]["email"]["format"], &schema["properties"]["integer"]["maximum"]),
        (&json!("email"), &json!(100))
    );
    assert_eq!(
        schema["properties"]["titledSingleSelectEnum"]["oneOf"][0],
        json!({"const": "hero-1", "title": "Superman"})
    );
    // The same request says the same; another message has to wait.
    assert_eq!(interrupt(&run(&house.server, &asked).await), &question);
    let other = input("t", &json!([user("1", "ask me"), user("2", "hello?")]));
    refused(&house, &other).await.is_problem(409, "thread_waiting", "a message while a tool asks");

    let values = json!({"name": "Ana", "check": true, "email": "a@b.example", "integer": 7, "number": 1.5,
        "titledSingleSelectEnum": "hero-2", "titledMultipleSelectEnum": ["fish-3", "fish-1"]});
    let answered = resume("t", "ask me", json!([entry(&question["id"], "resolved", values.clone())]));
    let told = run(&house.server, &answered).await;
    assert_eq!(kinds(&told)[..2], ["RUN_STARTED", "TOOL_CALL_RESULT"], "{told:?}");
    assert_eq!((&told.last().unwrap()["outcome"]["type"], runs(&house).await), (&json!("success"), 1));
    let said = text(&told);
    let raw = said.split_once("Raw result:").unwrap().1;
    let raw: Value = serde_json::from_str(&raw[..=raw.rfind('}').unwrap()]).unwrap();
    assert_eq!(raw, json!({"action": "accept", "content": values}), "the tool has the values as they were sent");
    // Answered twice, and with something else: the first answer counts, and what followed is told again.
    assert_eq!(text(&run(&house.server, &answered).await), said);
    let late = resume("t", "ask me", json!([entry(&question["id"], "cancelled", Value::Null)]));
    assert_eq!(text(&run(&house.server, &late).await), said);
    all.extend(told);
    let lines: Vec<String> = all.iter().map(Value::to_string).collect();
    judge(&lines.join("\n")).await;
    house.server.stop().await;
}

#[tokio::test]
async fn a_question_is_declined_or_closed() {
    let (house, _everything) = house().await;
    for (thread, payload, action) in
        [("a", Value::Null, "cancel"), ("b", json!({"action": "decline"}), "decline"), ("c", json!("odd"), "cancel")]
    {
        let asked = run(&house.server, &input(thread, &json!([user("1", "ask me")]))).await;
        let no = resume(thread, "ask me", json!([entry(&interrupt(&asked)["id"], "cancelled", payload)]));
        let said = text(&run(&house.server, &no).await);
        assert!(said.contains(&format!("\"action\": \"{action}\"")), "{said}");
    }
    house.server.stop().await;
}

#[tokio::test]
async fn an_answer_that_does_not_fit_is_refused_and_the_question_stays_open() {
    let (house, _everything) = house().await;
    let told = run(&house.server, &input("t", &json!([user("1", "ask and buy")]))).await;
    let interrupts = interrupts(&told);
    let (question, approval) =
        (&of_reason(&interrupts, "input_required")[0]["id"], &of_reason(&interrupts, "tool_call")[0]["id"]);
    let yes = entry(approval, "resolved", json!({"approved": true}));
    for payload in [
        Value::Null,
        json!([]),
        json!("Ana"),
        json!({}),
        json!({"name": 7}),
        json!({"name": "Ana", "email": "nobody"}),
        json!({"name": "Ana", "integer": 101}),
        json!({"name": "Ana", "titledSingleSelectEnum": "hero-9"}),
        json!({"name": "Ana", "unknown": 1}),
    ] {
        let about = payload.to_string();
        let bad = entry(question, "resolved", payload);
        refused(&house, &resume("t", "x", json!([bad.clone()]))).await.is_problem(400, "invalid_answer", &about);
        // The consent beside it does not count either.
        refused(&house, &resume("t", "x", json!([yes, bad]))).await.is_problem(400, "invalid_answer", &about);
    }
    let good = entry(question, "resolved", json!({"name": "Ana"}));
    let (odd, twice) = (entry(approval, "resolved", json!({"decision": "perhaps"})), json!([good, good]));
    refused(&house, &resume("t", "x", json!([good, odd]))).await.is_problem(400, "invalid_value", "no decision");
    refused(&house, &resume("t", "x", twice)).await.is_problem(400, "invalid_value", "twice in one request");
    let mut with_more = resume("t", "ask and buy", json!([good]));
    with_more["messages"] = json!([user("1", "ask and buy"), user("2", "and this?")]);
    refused(&house, &with_more).await.is_problem(400, "invalid_value", "a new message beside it");
    let unknown = json!(QuestionId::new());
    refused(&house, &resume("t", "x", json!([good, entry(&unknown, "cancelled", Value::Null)]))).await.is_problem(
        409,
        "no_such_interrupt",
        "one that nobody asked",
    );
    assert_eq!((open_questions(&house).await, house.tools.effects().len()), (1, 0));
    let end = run(&house.server, &resume("t", "ask and buy", json!([yes, good]))).await;
    assert!(text(&end).contains("\"name\": \"Ana\""), "{end:?}");
    assert_eq!(house.tools.effects(), [("milk".to_owned(), 1)].into());
    house.server.stop().await;
}

#[tokio::test]
async fn a_consent_and_a_question_at_once_can_be_answered_one_by_one() {
    let (house, _everything) = house().await;
    let told = run(&house.server, &input("t", &json!([user("1", "ask and buy")]))).await;
    let both = interrupts(&told);
    assert_eq!(both.len(), 2, "{both:?}");
    let (question, approval) = (&of_reason(&both, "input_required")[0]["id"], &of_reason(&both, "tool_call")[0]["id"]);
    let yes = resume("t", "ask and buy", json!([entry(approval, "resolved", json!({"decision": "once"}))]));
    let still = interrupts(&run(&house.server, &yes).await);
    assert_eq!((still.len(), &still[0]["id"]), (1, question), "the question is still open");
    let last = resume("t", "ask and buy", json!([entry(question, "resolved", json!({"name": "Ana"}))]));
    let end = run(&house.server, &last).await;
    assert!(text(&end).contains("did milk") && text(&end).contains("\"name\": \"Ana\""), "{end:?}");
    assert_eq!(house.tools.effects(), [("milk".to_owned(), 1)].into());
    house.server.stop().await;
}

#[tokio::test]
async fn two_questions_at_once_are_both_answered_and_no_result_is_told_twice() {
    let (house, _everything) = house().await;
    let asked = input("t", &json!([user("1", "ask me twice")]));
    run(&house.server, &asked).await;
    soon("both ask", || async { open_questions(&house).await == 2 }).await;
    let both = interrupts(&run(&house.server, &asked).await);
    assert_eq!(both.len(), 2);
    let named = |at: usize, name: &str| entry(&both[at]["id"], "resolved", json!({"name": name}));
    let first = run(&house.server, &resume("t", "ask me twice", json!([named(0, "Ana")]))).await;
    assert_eq!(interrupt(&first)["id"], both[1]["id"]);
    // A client has what it was told: the result of the first comes with its history, or is told now.
    let path = format!("/api/threads/{}/messages", first[0]["metadata"]["adjutant"]["threadId"].as_str().unwrap());
    let result = async || {
        let items = house.server.get(&path, KEY).await.body["items"].as_array().unwrap().clone();
        items.into_iter().find(|message| message["role"] == "tool")
    };
    soon("the first call ends", || async { result().await.is_some() }).await;
    let result = result().await.unwrap();
    let mut second = resume("t", "ask me twice", json!([named(1, "Ben")]));
    let call = result["content"][0]["callId"].clone();
    second["messages"] = json!([user("1", "ask me twice"),
        {"id": result["id"], "role": "tool", "toolCallId": call, "content": "known"}]);
    let end = run(&house.server, &second).await;
    let results = end.iter().filter(|event| event["type"] == "TOOL_CALL_RESULT").collect::<Vec<_>>();
    assert_eq!(results.len(), 1, "{results:?}");
    assert!(text(&end).contains("\"name\": \"Ana\"") && text(&end).contains("\"name\": \"Ben\""), "{end:?}");
    house.server.stop().await;
}

#[tokio::test]
async fn what_another_device_answered_is_told() {
    let (house, _everything) = house().await;
    let mut client = house.owner().await;
    let told = run(&house.server, &input("t", &json!([user("1", "ask me")]))).await;
    let id = interrupt(&told)["id"].clone();
    let values = json!({"name": "from the phone"});
    client.send(json!({"type": "question.answer", "questionId": id, "action": "accept", "values": values})).await;
    let seen = client.until(ends_run).await;
    assert!(seen.iter().any(|frame| is_custom(frame, "question.answered")));
    let late = resume("t", "ask me", json!([entry(&id, "resolved", json!({"name": "from here"}))]));
    let told = run(&house.server, &late).await;
    assert!(text(&told).contains("from the phone"), "{told:?}");
    assert_eq!(told.last().unwrap()["outcome"]["type"], "success");
    house.server.stop().await;
}

#[tokio::test]
async fn a_run_that_ended_meanwhile_says_how() {
    let (house, _everything) = house().await;
    let told = run(&house.server, &input("t", &json!([user("1", "ask me")]))).await;
    let (id, ours) =
        (interrupt(&told)["id"].clone(), told[0]["metadata"]["adjutant"]["runId"].as_str().unwrap().to_owned());
    let cancel = house.server.request("POST", &format!("/api/runs/{ours}/cancel")).bearer_auth(KEY);
    assert_eq!(answer(cancel).await.status, 202);
    let path = format!("/api/runs/{ours}");
    soon("it is cancelled", || async { house.server.get(&path, KEY).await.body["state"] == "cancelled" }).await;
    let late = resume("t", "ask me", json!([entry(&id, "resolved", json!({"name": "Ana"}))]));
    let told = run(&house.server, &late).await;
    assert_eq!(told.last().unwrap()["outcome"]["type"], "cancelled", "{told:?}");
    let after = input("t", &json!([user("1", "ask me"), user("2", "take long")]));
    assert_eq!(run(&house.server, &after).await.last().unwrap()["outcome"]["type"], "success");
    house.server.stop().await;
}

#[tokio::test]
async fn the_question_of_somebody_else_or_of_another_thread_is_no_interrupt_here() {
    let (house, _everything) = house().await;
    let ben = house.server.key("ben", "personal", Role::Personal).await;
    for thread in ["t", "t2"] {
        run(&house.server, &input(thread, &json!([user("1", "ask me")]))).await;
    }
    let id = interrupt(&run(&house.server, &input("t", &json!([user("1", "ask me")]))).await)["id"].clone();
    let yes = |thread: &str| resume(thread, "ask me", json!([entry(&id, "resolved", json!({"name": "Eve"}))]));
    refused(&house, &yes("t2")).await.is_problem(409, "no_such_interrupt", "another thread of the same person");
    let theirs = |input: Value| answer(house.server.request("POST", "/api/agui").bearer_auth(&ben.secret).json(&input));
    theirs(yes("t")).await.is_problem(404, "thread_not_found", "somebody else");
    assert_eq!(open_questions(&house).await, 2);
    house.server.stop().await;
}

#[tokio::test]
async fn progress_of_a_tool_is_told_as_the_socket_tells_it() {
    let (house, _everything) = house().await;
    let told = run(&house.server, &input("t", &json!([user("1", "take long")]))).await;
    let call = told.iter().find(|event| event["type"] == "TOOL_CALL_START").unwrap()["toolCallId"].clone();
    let first = told.iter().find(|event| event["name"] == "tool.progress").unwrap();
    assert_eq!(first["value"], json!({"toolCallId": call, "progress": 1.0, "total": 2.0}));
    let lines: Vec<String> = told.iter().map(Value::to_string).collect();
    judge(&lines.join("\n")).await;
    house.server.stop().await;
}
