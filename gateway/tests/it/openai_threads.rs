//! `X-Thread-Id`: only what is new to the thread is appended, and only when both sides agree on its
//! last answer.

use std::sync::Arc;

use adjutant_testkit::provider::{Piece, Reply, Turn};
use serde_json::{Value, json};
use tokio::sync::Semaphore;

use crate::openai_support::{Door, assistant, chat, streamed, user};
use crate::server::KEY;

/// Says how many messages of which roles the model was given.
fn counts(turn: &Turn) -> Reply {
    let roles: Vec<&str> = turn.messages().iter().filter_map(|message| message["role"].as_str()?.get(..1)).collect();
    Reply::text(&format!("{}: {}", turn.last_user(), roles.concat()))
}

#[tokio::test]
async fn only_what_is_new_is_appended() {
    let door = Door::new(counts).await;
    let first = door.ask(&chat(&[json!({"role": "system", "content": "Be brief."}), user("one")])).await;
    assert_eq!(first.text(), "one: ssu");
    let thread = [("x-thread-id", first.thread())];
    let history = [user("one"), assistant(" one: ssu\n"), user("two")];
    let second = door.ask_with(&chat(&history), &thread).await;
    assert_eq!((second.text().as_str(), second.thread()), ("two: ssuau", first.thread()));
    assert_ne!(second.run(), first.run());
    let alone = [json!({"role": "system", "content": "not appended"}), user("three")];
    let third = door.ask_with(&streamed(&chat(&alone)), &thread).await;
    assert_eq!((third.text().as_str(), third.thread()), ("three: ssuauau", first.thread()));
}

#[tokio::test]
async fn a_history_that_is_not_the_threads_is_a_conflict_that_no_client_repeats() {
    let door = Door::new(counts).await;
    let first = door.ask(&chat(&[user("one")])).await;
    let thread = [("x-thread-id", first.thread())];
    for said in ["I never said this.", "", "one"] {
        let refused = door.ask_with(&chat(&[user("one"), assistant(said), user("two")]), &thread).await;
        refused.is_error(409, "thread_conflict", said);
        assert_eq!(refused.header("x-should-retry"), "false");
    }
    let results = json!({"role": "tool", "tool_call_id": "call_1", "content": "x"});
    door.ask_with(&chat(&[results]), &thread).await.is_error(409, "thread_conflict", "results nobody waits for");
    assert_eq!(door.provider.turns().len(), 1);
}

#[tokio::test]
async fn an_unknown_thread_and_a_foreign_one_answer_alike() {
    let door = Door::new(counts).await;
    let first = door.ask(&chat(&[user("one")])).await;
    let stranger = door.stranger().await;
    for body in [chat(&[user("two")]), streamed(&chat(&[user("one"), assistant("one: su"), user("two")]))] {
        let foreign = door.ask_as(&stranger, &body, &[("x-thread-id", first.thread())]).await;
        let unknown = door.ask_as(&stranger, &body, &[("x-thread-id", "019a0000-0000-7000-8000-000000000001")]).await;
        foreign.is_error(404, "thread_not_found", "foreign");
        assert_eq!((&foreign.body, names(&foreign.headers)), (&unknown.body, names(&unknown.headers)));
    }
    door.ask_with(&chat(&[user("two")]), &[("x-thread-id", "nonsense")]).await.is_error(400, "invalid_value", "no id");
}

fn names(headers: &http::HeaderMap) -> Vec<&str> {
    headers.keys().map(http::HeaderName::as_str).collect()
}

#[tokio::test]
async fn a_message_for_a_busy_thread_waits_for_its_turn() {
    let hold = Arc::new(Semaphore::new(0));
    let held = Arc::clone(&hold);
    let door = Door::new(move |turn| match turn.last_user().as_str() {
        "slow" => Reply::Stream(vec![
            Piece::Text("slow".to_owned()),
            Piece::Hold(Arc::clone(&held)),
            Piece::Text("ly".to_owned()),
        ]),
        _ => counts(turn),
    })
    .await;
    let first = door.ask(&chat(&[user("one")])).await;
    let thread = [("x-thread-id", first.thread())];
    let history = |last: &str| chat(&[user("one"), assistant("one: su"), user(last)]);
    let busy = door.send(&streamed(&history("slow")), &thread, KEY).await;
    // It has not seen the answer that is being written, so its history still fits.
    let body = history("two");
    let waiting = door.ask_with(&body, &thread);
    let free = async {
        let pool = door.server.db.admin();
        crate::server::soon("the second message waits", async || runs_queued(&pool).await == 1).await;
        hold.add_permits(1);
    };
    let (second, ()) = tokio::join!(waiting, free);
    assert_eq!(second.text(), "two: suauau");
    assert!(busy.text().await.unwrap().contains("slow"));
}

async fn runs_queued(pool: &sqlx::PgPool) -> i64 {
    sqlx::query_scalar("select count(*) from runs where state = 'queued'").fetch_one(pool).await.unwrap()
}

#[tokio::test]
async fn an_answer_of_several_model_calls_is_known_by_its_whole_and_by_its_end() {
    let door = Door::new(|turn| match (turn.last_user().as_str(), turn.round()) {
        ("look", 0) => Reply::Stream(vec![
            Piece::Text("First.".to_owned()),
            Piece::Call {
                id: "x".to_owned(),
                name: "effects__look".to_owned(),
                arguments: "{\"key\":\"a\"}".to_owned(),
            },
        ]),
        ("look", _) => Reply::text("Then."),
        _ => Reply::text("fine"),
    })
    .await;
    for seen in ["First.\n\nThen.", "Then."] {
        let first = door.ask(&chat(&[user("look")])).await;
        assert_eq!(first.text(), "First.\n\nThen.");
        let next = chat(&[user("look"), assistant(seen), user("more")]);
        let next = door.ask_with(&next, &[("x-thread-id", first.thread())]).await;
        assert_eq!((next.status, next.text().as_str()), (200, "fine"), "{seen}");
    }
}

#[tokio::test]
async fn a_repeated_key_finds_its_answer_though_the_thread_has_moved_on() {
    let door = Door::new(counts).await;
    let first = door.ask(&chat(&[user("one")])).await;
    let headers = [("x-thread-id", first.thread()), ("idempotency-key", "k")];
    let body: Value = chat(&[user("one"), assistant("one: su"), user("two")]);
    let second = door.ask_with(&body, &headers).await;
    let again = door.ask_with(&body, &headers).await;
    assert_eq!((again.status, again.run(), again.text()), (200, second.run(), second.text()));
}
