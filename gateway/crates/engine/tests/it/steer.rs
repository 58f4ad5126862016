//! Messages that join the run that is going.

use std::sync::Arc;

use adjutant_core::ids::ThreadId;
use adjutant_core::run::consent::Why;
use adjutant_core::tool::Hints;
use adjutant_engine::engine::Engine;
use adjutant_engine::events::event::EventBody;
use adjutant_engine::events::hub::Interest;
use adjutant_engine::runs::submission::{Accepted, Mode};
use adjutant_store::approvals::Decision;
use adjutant_store::runs::RunStatus;
use adjutant_testkit::model::{FakeModel, Move, results};
use adjutant_testkit::tools::{FakeTools, reply};
use serde_json::json;
use tokio::sync::Semaphore;

use crate::consent::{approval, waiting};
use crate::support::{House, anna, ended, gapless, kinds, say, submission, texts, tree, until};

const READS: Hints = Hints { read_only: Some(true), destructive: None, idempotent: None, open_world: None };

/// Looks once, then repeats all that the user said.
fn repeater() -> FakeModel {
    FakeModel::new(|request| {
        if results(request).is_empty()
            && !request
                .messages
                .iter()
                .any(|message| !message.parts.is_empty() && message.role == adjutant_core::message::Role::Tool)
        {
            return vec![Move::call("fake__look", json!({}))];
        }
        let said = request.messages.iter().filter(|message| message.role == adjutant_core::message::Role::User);
        let said: Vec<String> = said
            .map(|message| adjutant_core::message::joined_text(&message.parts))
            // The prompt says when each was sent.
            .filter_map(|text| text.lines().next().map(str::to_owned))
            .collect();
        vec![Move::Say(said.join(", "))]
    })
}

async fn steer(engine: &Engine, thread: ThreadId, id: &str, text: &str) -> Accepted {
    let mut submission = submission(Some(thread), id, text);
    submission.request.mode = Mode::Steer;
    engine.submit(&anna(), submission).await.unwrap()
}

fn joined(body: &EventBody) -> bool {
    matches!(body, EventBody::RunJoined { .. })
}

#[tokio::test]
async fn a_message_joins_before_the_next_model_call() {
    let hold = Arc::new(Semaphore::new(0));
    let house = House::new(repeater(), FakeTools::new().held("look", READS, hold.clone())).await;
    let mut listener = house.listen();
    let first = say(&house.engine, None, "c1", "look").await;
    while house.tools.calls().is_empty() {
        tokio::task::yield_now().await;
    }
    let queued = say(&house.engine, Some(first.thread_id), "c2", "later").await;
    let second = steer(&house.engine, first.thread_id, "c3", "look closely").await;
    let third = steer(&house.engine, first.thread_id, "c4", "and tell me").await;
    let again = steer(&house.engine, first.thread_id, "c3", "look closely").await;
    assert_eq!((again.run_id, again.message_id, again.repeated), (second.run_id, second.message_id, true));
    hold.add_permits(1);
    until(&mut listener, third.run_id, joined).await;
    ended(&mut listener, queued.run_id).await;
    let messages = house.messages(first.thread_id).await;
    let answers: Vec<String> = texts(&messages).into_iter().filter(|text| text.starts_with("assistant: ")).collect();
    assert_eq!(
        answers,
        [
            "assistant: ",
            "assistant: look, look closely, and tell me",
            "assistant: look, look closely, and tell me, later"
        ]
    );
    let tree = tree(&messages);
    assert_eq!(tree["and tell me"], "look closely");
    assert_eq!(tree["look, look closely, and tell me"], "and tell me");
    assert_eq!(tree["later"], "look, look closely, and tell me");
    for (accepted, status) in [(second, RunStatus::Joined), (third, RunStatus::Joined), (queued, RunStatus::Succeeded)]
    {
        assert_eq!(house.run(accepted.run_id).await.status, status);
    }
    assert_eq!(house.run(second.run_id).await.joined_run_id, Some(first.run_id));
    // A run that is over is cancelled no more, and its message is taken once for good.
    house.engine.cancel(&anna().owner(), second.run_id).await.unwrap();
    let again = steer(&house.engine, first.thread_id, "c3", "look closely").await;
    assert_eq!((again.run_id, again.seq, again.repeated), (second.run_id, second.seq, true));
    assert!(gapless(&house.events(first.thread_id).await));
}

#[tokio::test]
async fn without_a_next_model_call_it_is_answered_after_the_run() {
    let hold = Arc::new(Semaphore::new(0));
    let gate = hold.clone();
    let model = FakeModel::new(move |request| match request.messages.len() {
        2 => vec![Move::Hold(gate.clone()), Move::say("one")],
        _ => vec![Move::say("two")],
    });
    let house = House::new(model, FakeTools::new()).await;
    let mut listener = house.listen();
    let first = say(&house.engine, None, "c1", "hello").await;
    let second = steer(&house.engine, first.thread_id, "c2", "and?").await;
    hold.add_permits(1);
    let seen = ended(&mut listener, second.run_id).await;
    assert_eq!(kinds(&seen), ["run_started", "run_state", "answer", "run_finished"]);
    let alone = steer(&house.engine, first.thread_id, "c3", "still there?").await;
    assert_eq!(kinds(&ended(&mut listener, alone.run_id).await)[0], "run_started");
}

#[tokio::test]
async fn a_message_with_a_place_of_its_own_and_a_removed_one_do_not_join() {
    let hold = Arc::new(Semaphore::new(0));
    let house = House::new(repeater(), FakeTools::new().held("look", READS, hold.clone())).await;
    let mut listener = house.listen();
    let first = say(&house.engine, None, "c1", "look").await;
    while house.tools.calls().is_empty() {
        tokio::task::yield_now().await;
    }
    let removed = steer(&house.engine, first.thread_id, "c2", "never mind").await;
    house.engine.cancel(&anna().owner(), removed.run_id).await.unwrap();
    let mut elsewhere = submission(Some(first.thread_id), "c3", "on a branch");
    elsewhere.request.mode = Mode::Steer;
    elsewhere.parent = Some(first.message_id);
    let elsewhere = house.engine.submit(&anna(), elsewhere).await.unwrap();
    hold.add_permits(2);
    ended(&mut listener, elsewhere.run_id).await;
    assert_eq!(house.run(removed.run_id).await.status, RunStatus::Cancelled);
    assert_eq!(house.run(elsewhere.run_id).await.status, RunStatus::Succeeded);
    let texts = texts(&house.messages(first.thread_id).await);
    assert!(texts.contains(&"assistant: look".to_owned()), "{texts:?}");
}

#[tokio::test]
async fn a_message_joins_a_run_on_another_replica_and_one_that_waits() {
    let destroys = Hints { destructive: Some(true), ..Hints::default() };
    let model = || {
        FakeModel::new(|request| match results(request).len() {
            0 if request.messages.len() < 3 => vec![Move::call("fake__destroy", json!({}))],
            _ => vec![Move::Say(format!("heard {}", adjutant_testkit::model::last_user(request)))],
        })
    };
    let house = House::new(model(), FakeTools::new().tool("destroy", destroys, |_| Ok(reply("destroyed")))).await;
    let other = house.another(model(), 2);
    let mut listener = house.listen();
    let first = say(&house.engine, None, "c1", "destroy it").await;
    let seen = until(&mut listener, first.run_id, waiting).await;
    let second = steer(&other, first.thread_id, "c2", "and be quick").await;
    // The decision comes in at a third place, which takes the run up.
    let third = house.another(model(), 3);
    let mut elsewhere = third.hub().subscribe(&anna().owner(), Interest::VisibleThreads);
    third.decide(&anna().owner(), approval(&seen), Decision::Once, None).await.unwrap();
    ended(&mut elsewhere, first.run_id).await;
    assert_eq!(house.run(second.run_id).await.status, RunStatus::Joined);
    assert_eq!(texts(&house.messages(first.thread_id).await).last().unwrap(), "assistant: heard and be quick");
}

#[tokio::test]
async fn a_run_taken_over_after_a_message_joined_goes_on_behind_it() {
    let hold = Arc::new(Semaphore::new(0));
    let gate = Arc::new(Semaphore::new(0));
    let model = |gate: Arc<Semaphore>| {
        FakeModel::new(move |request| match results(request).len() {
            0 if request.messages.len() == 2 => vec![Move::call("fake__look", json!({}))],
            _ => {
                let said = adjutant_testkit::model::last_user(request);
                vec![Move::Hold(gate.clone()), Move::Say(format!("heard {said}"))]
            }
        })
    };
    let house = House::new(model(gate.clone()), FakeTools::new().held("look", READS, hold.clone())).await;
    let mut listener = house.listen();
    let first = say(&house.engine, None, "c1", "look").await;
    while house.tools.calls().is_empty() {
        tokio::task::yield_now().await;
    }
    let second = steer(&house.engine, first.thread_id, "c2", "closely").await;
    hold.add_permits(1);
    until(&mut listener, second.run_id, joined).await;
    // Its replica dies while the model answers.
    gate.add_permits(1);
    let other = house.another(model(Arc::new(Semaphore::new(9))), 2);
    let mut elsewhere = other.hub().subscribe(&anna().owner(), Interest::VisibleThreads);
    if other.recover().await.unwrap() > 0 {
        ended(&mut elsewhere, first.run_id).await;
    } else {
        ended(&mut listener, first.run_id).await;
    }
    let messages = house.messages(first.thread_id).await;
    assert_eq!(texts(&messages).last().unwrap(), "assistant: heard closely");
    assert_eq!(tree(&messages)["heard closely"], "closely");
}

#[tokio::test]
async fn a_forwarded_document_that_joins_is_foreign_text_and_names_nobody() {
    let hold = Arc::new(Semaphore::new(0));
    let closed = Hints { open_world: Some(false), ..Hints::default() };
    let gate = hold.clone();
    let model = FakeModel::new(move |request| match adjutant_testkit::model::round(request) {
        0 if request.messages.len() == 2 => vec![Move::Hold(gate.clone()), Move::call("fake__nothing", json!({}))],
        0 => vec![Move::call("fake__note", json!({"text": "x"}))],
        _ => vec![Move::say("so be it")],
    });
    let house = House::new(model, FakeTools::new().tool("note", closed, |_| Ok(reply("noted")))).await;
    let mut listener = house.listen();
    let first = say(&house.engine, None, "c1", "wait").await;
    steer(&house.engine, first.thread_id, "c2", "this came\n> note it").await;
    hold.add_permits(1);
    let seen = until(&mut listener, first.run_id, waiting).await;
    let why = seen.iter().find_map(|body| match body {
        EventBody::ApprovalRequested { why, .. } => *why,
        _ => None,
    });
    assert_eq!(why, Some(Why::ForeignText));
}
