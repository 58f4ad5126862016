//! From a message to its answer.

use std::sync::Arc;

use adjutant_core::message::Part;
use adjutant_core::model::ModelErrorKind;
use adjutant_core::tool::{Hints, ToolError};
use adjutant_engine::events::event::{EventBody, FinishedOutcome};
use adjutant_engine::runs::submission::SubmitError;
use adjutant_store::runs::RunStatus;
use adjutant_testkit::model::{FakeModel, Move, results, round};
use adjutant_testkit::tools::{FakeTools, reply};
use serde_json::json;
use tokio::sync::Semaphore;

use crate::support::{House, anna, ended, gapless, kinds, next_text, say, scope, submission, texts, try_say};

#[tokio::test]
async fn a_message_becomes_a_durable_answer() {
    let house = House::new(FakeModel::new(|_| vec![Move::say("Hel"), Move::say("lo")]), FakeTools::new()).await;
    let mut listener = house.listen();
    let accepted = say(&house.engine, None, "c1", "hi").await;
    let seen = ended(&mut listener, accepted.run_id).await;
    assert_eq!(kinds(&seen), ["run_started", "answer", "run_finished"]);
    assert_eq!(texts(&house.messages(accepted.thread_id).await), ["user: hi", "assistant: Hello"]);
    let events = house.events(accepted.thread_id).await;
    assert!(gapless(&events));
    assert_eq!(events.len(), 3);
    let run = house.run(accepted.run_id).await;
    assert_eq!(run.status, RunStatus::Succeeded);
    assert_eq!((run.usage.input_tokens, run.usage.output_tokens, run.usage.cached_input_tokens), (11, 7, 3));
    assert_eq!(run.model.as_deref(), Some("scripted"));
}

#[tokio::test]
async fn a_resent_message_returns_the_first_answer() {
    let house = House::new(FakeModel::new(|_| vec![Move::say("ok")]), FakeTools::new()).await;
    let mut listener = house.listen();
    let first = say(&house.engine, None, "c1", "hi").await;
    ended(&mut listener, first.run_id).await;
    let again = say(&house.engine, None, "c1", "hi").await;
    assert!(again.repeated && !first.repeated);
    assert_eq!((again.run_id, again.message_id, again.seq), (first.run_id, first.message_id, first.seq));
    assert_eq!(again.thread_id, first.thread_id);
    assert_eq!(house.messages(first.thread_id).await.len(), 2);
}

#[tokio::test]
async fn the_same_message_sent_many_times_at_once_makes_one_run() {
    let model = Arc::new(FakeModel::new(|_| vec![Move::say("ok")]));
    let house = House::new(FakeModel::new(|_| vec![Move::say("ok")]), FakeTools::new()).await;
    let engine = crate::support::engine(house.db.store.clone(), model.clone(), house.tools.clone(), 1);
    let owner = anna();
    let sends = (0..8).map(|_| engine.submit(&owner, submission(None, "same", "hi")));
    let answers = futures::future::join_all(sends).await;
    let runs: std::collections::HashSet<_> = answers.iter().map(|answer| answer.as_ref().unwrap().run_id).collect();
    assert_eq!(runs.len(), 1);
    assert_eq!(answers.iter().filter(|answer| !answer.as_ref().unwrap().repeated).count(), 1);
    engine.supervisor().stop().await;
    assert_eq!(model.requests().len(), 1, "a repeated message asks no model");
}

#[tokio::test]
async fn several_tools_in_several_rounds_come_back_to_the_model() {
    let model = FakeModel::new(|request| match round(request) {
        0 => vec![
            Move::say("let me look"),
            Move::call("fake__look", json!({"at": "a"})),
            Move::call("fake__look", json!({"at": "b"})),
        ],
        1 => vec![Move::call("fake__look", json!({"at": "c"}))],
        _ => vec![Move::Say(format!("saw {}", results(request).len()))],
    });
    let look = Hints { read_only: Some(true), ..Hints::default() };
    let tools = FakeTools::new().tool("look", look, |arguments| Ok(reply(&format!("at {}", arguments["at"]))));
    let house = House::new(model, tools).await;
    let mut listener = house.listen();
    let accepted = say(&house.engine, None, "c1", "look around").await;
    let seen = ended(&mut listener, accepted.run_id).await;
    let expected =
        ["run_started", "answer", "tool_result", "tool_result", "answer", "tool_result", "answer", "run_finished"];
    assert_eq!(kinds(&seen), expected);
    assert_eq!(house.tools.calls().len(), 3);
    let messages = house.messages(accepted.thread_id).await;
    assert_eq!(messages.last().unwrap().text(), "saw 3");
    assert_eq!(house.run(accepted.run_id).await.usage.input_tokens, 33);
}

#[tokio::test]
async fn what_cannot_run_is_told_to_the_model() {
    let model = FakeModel::new(|request| match round(request) {
        0 => vec![
            Move::call("nobody__nothing", json!({})),
            Move::call("fake__broken", json!({})),
            Move::call("fake__lost", json!({})),
        ],
        _ => vec![Move::say("I see")],
    });
    let tools = FakeTools::new()
        .tool("broken", Hints::default(), |_| Err(ToolError::Unavailable("the server is away".into())))
        .tool("lost", Hints::default(), |_| Err(ToolError::Lost("no answer came".into())));
    let house = House::new(model, tools).await;
    let mut listener = house.listen();
    let accepted = say(&house.engine, None, "c1", "try").await;
    ended(&mut listener, accepted.run_id).await;
    let mut texts = texts(&house.messages(accepted.thread_id).await)[2..5].to_vec();
    texts.sort();
    let expected = [
        "tool: failed the server is away",
        "tool: failed there is no tool named nobody__nothing, or its server is not available now",
        "tool: unknown no answer came. It may have happened or not: say so, and do not repeat it without asking.",
    ];
    assert_eq!(texts, expected);
}

#[tokio::test]
async fn a_failed_model_keeps_what_had_arrived_and_says_so() {
    let model = FakeModel::new(|_| vec![Move::say("half an ans"), Move::Fail(ModelErrorKind::Truncated)]);
    let house = House::new(model, FakeTools::new()).await;
    let mut listener = house.listen();
    let accepted = say(&house.engine, None, "c1", "hi").await;
    let seen = ended(&mut listener, accepted.run_id).await;
    assert!(matches!(seen.last(), Some(EventBody::RunFailed { code, .. }) if code == "model_truncated"));
    assert_eq!(texts(&house.messages(accepted.thread_id).await)[1], "assistant: half an ans (cut)");
}

#[tokio::test]
async fn cancel_stops_the_stream_and_keeps_what_had_arrived() {
    let hold = Arc::new(Semaphore::new(0));
    let held = Arc::clone(&hold);
    let model = FakeModel::new(move |_| vec![Move::say("first"), Move::Hold(held.clone()), Move::say("second")]);
    let house = House::new(model, FakeTools::new()).await;
    let mut listener = house.listen();
    let accepted = say(&house.engine, None, "c1", "hi").await;
    assert_eq!(next_text(&mut listener).await, "first");
    house.engine.cancel(&anna().owner(), accepted.run_id).await.unwrap();
    let seen = ended(&mut listener, accepted.run_id).await;
    let cancelled = FinishedOutcome::Cancelled;
    assert!(matches!(seen.last(), Some(EventBody::RunFinished { outcome, .. }) if *outcome == cancelled));
    assert_eq!(texts(&house.messages(accepted.thread_id).await)[1], "assistant: first (cut)");
    assert_eq!(house.run(accepted.run_id).await.status, RunStatus::Cancelled);
    house.engine.cancel(&anna().owner(), accepted.run_id).await.unwrap();
}

#[tokio::test]
async fn cancel_while_a_tool_runs_says_that_its_outcome_is_unknown() {
    let hold = Arc::new(Semaphore::new(0));
    let model = FakeModel::new(|_| vec![Move::call("fake__slow", json!({}))]);
    let tools = FakeTools::new().held("slow", Hints::default(), hold);
    let house = House::new(model, tools).await;
    let mut listener = house.listen();
    let accepted = say(&house.engine, None, "c1", "hi").await;
    crate::support::until(&mut listener, accepted.run_id, |body| matches!(body, EventBody::Answer)).await;
    while house.tools.calls().is_empty() {
        tokio::task::yield_now().await;
    }
    house.engine.cancel(&anna().owner(), accepted.run_id).await.unwrap();
    ended(&mut listener, accepted.run_id).await;
    let messages = house.messages(accepted.thread_id).await;
    let Some(Part::ToolResult(result)) = messages.last().unwrap().parts.first() else { panic!("no result") };
    assert_eq!(result.outcome.as_str(), "unknown");
}

#[tokio::test]
async fn foreign_threads_answer_like_unknown_ones() {
    let house = House::new(FakeModel::new(|_| vec![Move::say("ok")]), FakeTools::new()).await;
    let mut listener = house.listen();
    let accepted = say(&house.engine, None, "c1", "hi").await;
    ended(&mut listener, accepted.run_id).await;
    for stranger in [scope("ben", "personal"), scope("anna", "work")] {
        let foreign = house.engine.submit(&stranger, submission(Some(accepted.thread_id), "x", "let me in")).await;
        let unknown =
            house.engine.submit(&stranger, submission(Some(adjutant_core::ids::ThreadId::new()), "y", "hi")).await;
        assert!(matches!(foreign, Err(SubmitError::NoThread)), "{foreign:?}");
        assert!(matches!(unknown, Err(SubmitError::NoThread)));
        let cancel = house.engine.cancel(&stranger.owner(), accepted.run_id).await.unwrap_err().to_string();
        let nothing =
            house.engine.cancel(&stranger.owner(), adjutant_core::ids::RunId::new()).await.unwrap_err().to_string();
        assert_eq!(cancel, nothing);
    }
    assert_eq!(house.messages(accepted.thread_id).await.len(), 2);
}

#[tokio::test]
async fn a_parent_in_another_thread_is_refused() {
    let house = House::new(FakeModel::new(|_| vec![Move::say("ok")]), FakeTools::new()).await;
    let mut listener = house.listen();
    let one = say(&house.engine, None, "c1", "one").await;
    let two = say(&house.engine, None, "c2", "two").await;
    ended(&mut listener, two.run_id).await;
    let mut branch = submission(Some(one.thread_id), "c3", "three");
    branch.parent = Some(two.message_id);
    let refused = house.engine.submit(&anna(), branch).await;
    assert!(matches!(refused, Err(SubmitError::NoParent)), "{refused:?}");
    assert!(try_say(&house.engine, None, &"x".repeat(200), "hi").await.is_err());
}

#[tokio::test]
async fn five_hundred_streams_at_once_hold_no_connection() {
    let hold = Arc::new(Semaphore::new(0));
    let held = Arc::clone(&hold);
    let model = FakeModel::new(move |_| vec![Move::say("a"), Move::Hold(held.clone()), Move::say("b")]);
    let house = House::new(model, FakeTools::new()).await;
    let sends = (0..500).map(|number| {
        let engine = house.engine.clone();
        async move { say(&engine, None, &format!("c{number}"), "hi").await }
    });
    let accepted = futures::future::join_all(sends).await;
    // All streams are open now and stay so, yet a connection is free for everybody.
    assert_eq!(house.engine.active_runs(), 500);
    house.db.store.health().await.unwrap();
    let last = say(&house.engine, None, "one more", "hi").await;
    hold.add_permits(501);
    let mut open: Vec<_> = accepted.iter().map(|accepted| accepted.run_id).chain([last.run_id]).collect();
    while let Some(run) = open.pop() {
        while !house.run(run).await.status.is_final() {
            tokio::task::yield_now().await;
        }
    }
}

#[tokio::test]
async fn a_nul_in_what_the_model_calls_a_tool_is_no_crash() {
    let model = FakeModel::new(|request| match round(request) {
        0 => vec![Move::call("no\0thing", json!({}))],
        _ => vec![Move::say("I see")],
    });
    let house = House::new(model, FakeTools::new()).await;
    let mut listener = house.listen();
    let accepted = say(&house.engine, None, "c1", "try").await;
    ended(&mut listener, accepted.run_id).await;
    let run = house.run(accepted.run_id).await;
    assert_eq!((run.status, run.crashes), (RunStatus::Succeeded, 0));
}
