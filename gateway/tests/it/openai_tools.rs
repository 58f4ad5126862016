//! Tools of the caller beside our own: the run waits for the caller and goes on with its results.

use adjutant_testkit::provider::{Piece, Reply, Turn};
use serde_json::{Value, json};

use crate::openai_support::{Door, Said, assistant, chat, results, streamed, tool, user, with};

fn piece(id: &str, name: &str, arguments: &Value) -> Piece {
    Piece::Call { id: id.to_owned(), name: name.to_owned(), arguments: arguments.to_string() }
}

/// Asks for a tool of the caller beside one of ours; then says what both answered.
fn both(turn: &Turn) -> Reply {
    match turn.round() {
        0 => Reply::Stream(vec![
            Piece::Text("One moment.".to_owned()),
            piece("a", "weather", &json!({"city": "Paris"})),
            piece("b", "effects__look", &json!({"key": "k"})),
        ]),
        _ => Reply::text(&format!("{} results, {}", turn.results().len(), sky(turn))),
    }
}

/// What the caller's tool answered, as far as it is in the prompt.
fn sky(turn: &Turn) -> &'static str {
    if turn.results().iter().any(|result| result.contains("clear")) { "clear" } else { "unknown" }
}

fn asked() -> Value {
    with(chat(&[user("the weather?")]), &json!({"tools": [tool("weather")]}))
}

/// The request that brings the results: the whole history, as clients send it.
fn answered(first: &Said, text: &str) -> Value {
    let calls = first.calls();
    let mut messages = vec![user("the weather?")];
    messages.push(json!({"role": "assistant", "content": first.text(), "tool_calls": calls}));
    messages.extend(results(&calls, text));
    with(chat(&messages), &json!({"tools": [tool("weather")]}))
}

#[tokio::test]
async fn a_call_of_the_caller_ends_the_answer_and_its_result_continues_the_run() {
    let door = Door::new(both).await;
    for form in [|body: &Value| body.clone(), streamed] {
        let first = door.ask(&form(&asked())).await;
        assert_eq!((first.finish().as_str(), first.text().as_str()), ("tool_calls", "One moment."));
        let calls = first.calls();
        assert_eq!(
            (calls.len(), &calls[0]["type"], &calls[0]["function"]["name"]),
            (1, &json!("function"), &json!("weather"))
        );
        assert_eq!(calls[0]["function"]["arguments"], "{\"city\":\"Paris\"}");
        assert_eq!(first.usage()["total_tokens"], 18);
        let next = door.ask(&form(&answered(&first, "clear"))).await;
        assert_eq!((next.run(), next.thread()), (first.run(), first.thread()));
        assert_eq!((next.text().as_str(), next.finish().as_str()), ("2 results, clear", "stop"));
        assert_eq!(next.usage()["total_tokens"], 18, "each answer tells its own cost");
        assert!(next.calls().is_empty());
    }
    assert_eq!((door.provider.turns().len(), door.provider.faults().len()), (4, 0));
}

#[tokio::test]
async fn the_run_continues_after_a_restart_of_the_server() {
    let door = Door::new(both).await;
    let first = door.ask(&asked()).await;
    assert_eq!(first.finish(), "tool_calls");
    let door = door.restart().await;
    let next = door.ask(&streamed(&answered(&first, "clear"))).await;
    assert_eq!((next.run(), next.text().as_str(), next.done), (first.run(), "2 results, clear", true));
    assert_eq!(door.provider.faults(), Vec::<String>::new());
}

#[tokio::test]
async fn several_calls_are_answered_together_or_not_at_all() {
    let door = Door::new(|turn| match turn.round() {
        0 => Reply::calls(&[("weather", json!({"city": "Paris"})), ("weather", json!({"city": "Rome"}))]),
        _ => Reply::text(&format!("{} results", turn.results().len())),
    })
    .await;
    let first = door.ask(&asked()).await;
    let calls = first.calls();
    assert_eq!(calls.len(), 2);
    let mut part = answered(&first, "clear");
    part["messages"].as_array_mut().unwrap().pop();
    let refused = door.ask(&part).await;
    refused.is_error(400, "invalid_value", "one of two");
    assert!(refused.body["error"]["message"].as_str().unwrap().contains(calls[1]["id"].as_str().unwrap()));
    let mut turned = answered(&first, "clear");
    turned["messages"].as_array_mut().unwrap().swap(2, 3);
    assert_eq!(door.ask(&turned).await.text(), "2 results");
    assert_eq!(door.provider.faults(), Vec::<String>::new());
}

#[tokio::test]
async fn results_go_on_with_their_thread_when_it_is_named() {
    let door = Door::new(both).await;
    let first = door.ask(&asked()).await;
    let other = door.ask(&asked()).await;
    let wrong = [("x-thread-id", other.thread())];
    door.ask_with(&answered(&first, "clear"), &wrong).await.is_error(409, "thread_conflict", "another thread");
    let right = [("x-thread-id", first.thread())];
    let results_alone = chat(&results(&first.calls(), "clear"));
    let next = door.ask_with(&results_alone, &right).await;
    assert_eq!((next.run(), next.text().as_str()), (first.run(), "2 results, clear"));
}

#[tokio::test]
async fn ids_that_are_foreign_unknown_or_answered_are_history_like_any_other() {
    let door = Door::new(both).await;
    let first = door.ask(&asked()).await;
    let stranger = door.stranger().await;
    let foreign = door.ask_as(&stranger, &answered(&first, "clear"), &[]).await;
    assert_eq!((foreign.status, foreign.text().as_str(), foreign.finish().as_str()), (200, "1 results, clear", "stop"));
    assert_ne!((foreign.run(), foreign.thread()), (first.run(), first.thread()));
    assert_eq!(door.state(first.run()).await, "waiting");

    let mut unknown = answered(&first, "clear");
    let id = json!("call_019a0000000070008000000000000001");
    unknown["messages"][1]["tool_calls"][0]["id"] = id.clone();
    unknown["messages"][2]["tool_call_id"] = id;
    let unknown = door.ask(&unknown).await;
    assert_eq!((unknown.text(), unknown.finish()), (foreign.text(), foreign.finish()));

    assert_eq!(door.ask(&answered(&first, "clear")).await.run(), first.run());
    let again = door.ask(&answered(&first, "clear")).await;
    assert_ne!(again.run(), first.run());
    assert_eq!((again.text(), again.finish()), (foreign.text(), foreign.finish()));
    assert_eq!(door.provider.faults(), Vec::<String>::new());
}

#[tokio::test]
async fn results_without_their_call_are_refused_alike_for_foreign_and_unknown_ids() {
    let door = Door::new(both).await;
    let first = door.ask(&asked()).await;
    let stranger = door.stranger().await;
    let foreign = door.ask_as(&stranger, &chat(&results(&first.calls(), "x")), &[]).await;
    let made_up = [json!({"id": "call_019a0000000070008000000000000001"})];
    let unknown = door.ask_as(&stranger, &chat(&results(&made_up, "x")), &[]).await;
    unknown.is_error(400, "invalid_value", "a result without its call");
    assert_eq!(foreign.body, unknown.body);
}

#[tokio::test]
async fn tool_choice_none_offers_our_tools_alone() {
    let door = Door::new(|turn| Reply::text(&turn.tool_names().join(" "))).await;
    assert_eq!(door.ask(&asked()).await.text(), "effects__effect effects__look weather");
    let none = with(asked(), &json!({"tool_choice": "none"}));
    assert_eq!(door.ask(&none).await.text(), "effects__effect effects__look");
}

#[tokio::test]
async fn a_tool_that_needs_consent_ends_the_answer_with_a_sentence_and_the_thread_goes_on_after_it() {
    let door = Door::new(|turn| match (turn.last_user().as_str(), turn.round()) {
        // What has effects asks once the run has read foreign text.
        ("buy", 0) => Reply::call("effects__look", &json!({"key": "milk"})),
        ("buy", 1) => Reply::call("effects__effect", &json!({"key": "milk"})),
        (said, _) => Reply::text(&format!("done: {said}")),
    })
    .await;
    let said = door.ask(&streamed(&chat(&[user("buy")]))).await;
    let notice = said.text();
    assert_eq!((said.finish().as_str(), said.done), ("stop", true));
    assert!(notice.contains("effects__effect") && notice.contains(&said.run().to_string()), "{notice}");
    assert_eq!((door.state(said.run()).await, door.tools.effects().len()), ("waiting", 0));

    let thread = [("x-thread-id", said.thread())];
    let more = chat(&[user("buy"), assistant(&notice), user("and bread")]);
    let refused = door.ask_with(&more, &thread).await;
    refused.is_error(409, "thread_waiting", "nothing is answered before the decision");
    assert!(refused.body["error"]["message"].as_str().unwrap().contains(&said.run().to_string()));

    let mut events = door.listen(said.run());
    let pending = sqlx::query_scalar::<_, String>("select id::text from approvals where state = 'pending'");
    let approval = pending.fetch_one(&door.server.db.admin()).await.unwrap().parse().unwrap();
    let decision = adjutant_store::approvals::Decision::Once;
    door.server.app.engine().decide(&door.owner(), approval, decision, None).await.unwrap();
    crate::openai_support::until_ended(&mut events, said.run()).await;
    assert_eq!(door.tools.effects(), [("milk".to_owned(), 1)].into());
    let next = door.ask_with(&more, &thread).await;
    assert_eq!((next.status, next.text().as_str(), next.thread()), (200, "done: and bread", said.thread()));
}

#[tokio::test]
async fn a_call_of_the_caller_beside_one_that_needs_consent_loses_neither() {
    let door = Door::new(|turn| match turn.round() {
        0 => Reply::call("effects__look", &json!({"key": "milk"})),
        1 => Reply::calls(&[("weather", json!({})), ("effects__effect", json!({"key": "milk"}))]),
        _ => Reply::text(&format!("{} results, {}", turn.results().len(), sky(turn))),
    })
    .await;
    let first = door.ask(&asked()).await;
    assert_eq!((first.finish().as_str(), first.calls().len()), ("tool_calls", 1));
    assert!(first.text().contains("effects__effect"), "{}", first.text());
    let next = door.ask(&answered(&first, "clear")).await;
    assert_eq!((next.run(), next.finish().as_str()), (first.run(), "stop"));
    assert!(next.text().contains("effects__effect"), "{}", next.text());
    assert_eq!(door.state(first.run()).await, "waiting");
}

#[tokio::test]
async fn arguments_that_could_not_be_read_back_are_refused_to_the_model() {
    let door = Door::new(|turn| match turn.round() {
        0 => Reply::Stream(vec![Piece::Call {
            id: "a".to_owned(),
            name: "weather".to_owned(),
            arguments: format!("{{\"a\":{}{}}}", "[".repeat(120), "]".repeat(120)),
        }]),
        _ => Reply::text(&turn.results().concat()),
    })
    .await;
    let said = door.ask(&asked()).await;
    assert!(said.status == 200 && said.text().contains("more than 64 levels"), "{said:?}");
    let next = chat(&[user("the weather?"), assistant(&said.text()), user("more")]);
    assert_eq!(door.ask_with(&next, &[("x-thread-id", said.thread())]).await.status, 200);
}
