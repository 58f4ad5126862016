//! Tools that ask a person first.

use std::sync::Arc;

use adjutant_core::limits;
use adjutant_core::tool::Hints;
use adjutant_engine::events::event::{EventBody, RunStateName};
use adjutant_engine::events::hub::Interest;
use adjutant_engine::runs::control::ControlError;
use adjutant_store::approvals::Decision;
use adjutant_store::runs::RunStatus;
use adjutant_testkit::model::{FakeModel, Move, last_user, results, round};
use adjutant_testkit::tools::{FakeTools, reply};
use serde_json::json;
use tokio::sync::Semaphore;

use crate::support::{House, anna, ended, kinds, say, scope, texts, until};

fn destroyer() -> FakeModel {
    FakeModel::new(|request| match round(request) {
        0 => vec![Move::call("fake__destroy", json!({"what": "it"}))],
        _ => vec![Move::say("so be it")],
    })
}

fn dangerous() -> FakeTools {
    let hints = Hints { destructive: Some(true), ..Hints::default() };
    FakeTools::new().tool("destroy", hints, |_| Ok(reply("destroyed")))
}

fn twice() -> FakeModel {
    FakeModel::new(|request| match round(request) {
        0 => vec![
            Move::call("fake__destroy", json!({"what": "this"})),
            Move::call("fake__destroy", json!({"what": "that"})),
        ],
        _ => vec![Move::say("so be it")],
    })
}

pub(crate) fn waiting(body: &EventBody) -> bool {
    matches!(body, EventBody::RunState { state: RunStateName::Waiting, .. })
}

pub(crate) fn approval(bodies: &[EventBody]) -> adjutant_core::ids::ApprovalId {
    *approvals(bodies).first().expect("an approval was asked for")
}

fn approvals(bodies: &[EventBody]) -> Vec<adjutant_core::ids::ApprovalId> {
    let asked = bodies.iter().filter_map(|body| match body {
        EventBody::ApprovalRequested { approval_id, .. } => Some(*approval_id),
        _ => None,
    });
    asked.collect()
}

#[tokio::test]
async fn a_destructive_tool_waits_for_a_person_and_then_runs_once() {
    let house = House::new(destroyer(), dangerous()).await;
    let mut listener = house.listen();
    let accepted = say(&house.engine, None, "c1", "destroy it").await;
    let seen = until(&mut listener, accepted.run_id, waiting).await;
    assert_eq!(kinds(&seen), ["run_started", "answer", "approval_requested", "run_state"]);
    assert_eq!(house.run(accepted.run_id).await.status, RunStatus::Waiting);
    assert_eq!(house.tools.calls().len(), 0);
    house.engine.decide(&anna().owner(), approval(&seen), Decision::Once, None).await.unwrap();
    let seen_after = ended(&mut listener, accepted.run_id).await;
    assert_eq!(kinds(&seen_after), ["approval_decided", "tool_result", "answer", "run_finished"]);
    assert_eq!(house.tools.calls().len(), 1);
    let again = house.engine.decide(&anna().owner(), approval(&seen), Decision::Deny, None).await;
    assert!(matches!(again, Err(ControlError::AlreadyDecided)), "{again:?}");
}

#[tokio::test]
async fn a_denied_tool_never_runs_and_the_model_hears_why() {
    let house = House::new(destroyer(), dangerous()).await;
    let mut listener = house.listen();
    let accepted = say(&house.engine, None, "c1", "destroy it").await;
    let seen = until(&mut listener, accepted.run_id, waiting).await;
    let decided = house.engine.decide(&anna().owner(), approval(&seen), Decision::Deny, Some("keep it")).await;
    decided.unwrap();
    ended(&mut listener, accepted.run_id).await;
    assert_eq!(house.tools.calls().len(), 0);
    let messages = texts(&house.messages(accepted.thread_id).await);
    assert_eq!(messages[2], "tool: denied the person denied this call: keep it");
}

#[tokio::test]
async fn what_is_allowed_for_good_does_not_ask_again() {
    let house = House::new(destroyer(), dangerous()).await;
    let mut listener = house.listen();
    let first = say(&house.engine, None, "c1", "destroy it").await;
    let seen = until(&mut listener, first.run_id, waiting).await;
    house.engine.decide(&anna().owner(), approval(&seen), Decision::Always, None).await.unwrap();
    ended(&mut listener, first.run_id).await;
    let second = say(&house.engine, None, "c2", "and this").await;
    assert_eq!(
        kinds(&ended(&mut listener, second.run_id).await),
        ["run_started", "answer", "tool_result", "answer", "run_finished"]
    );
    assert_eq!(house.tools.calls().len(), 2);
}

#[tokio::test]
async fn a_foreign_approval_answers_like_an_unknown_one() {
    let house = House::new(destroyer(), dangerous()).await;
    let mut listener = house.listen();
    let accepted = say(&house.engine, None, "c1", "destroy it").await;
    let seen = until(&mut listener, accepted.run_id, waiting).await;
    for stranger in [scope("ben", "personal"), scope("anna", "work")] {
        let owner = stranger.owner();
        let foreign = house.engine.decide(&owner, approval(&seen), Decision::Once, None).await;
        let unknown = house.engine.decide(&owner, adjutant_core::ids::ApprovalId::new(), Decision::Once, None).await;
        assert_eq!(format!("{foreign:?}"), format!("{unknown:?}"));
    }
    assert_eq!(house.tools.calls().len(), 0);
}

#[tokio::test]
async fn a_waiting_run_survives_a_restart_and_can_be_cancelled() {
    let house = House::new(destroyer(), dangerous()).await;
    let mut listener = house.listen();
    let one = say(&house.engine, None, "c1", "destroy it").await;
    let seen = until(&mut listener, one.run_id, waiting).await;
    let two = say(&house.engine, None, "c2", "destroy that").await;
    until(&mut listener, two.run_id, waiting).await;
    house.engine.supervisor().stop().await;

    let later = house.another(destroyer(), 2);
    let mut listener = later.hub().subscribe(&anna().owner(), adjutant_engine::events::hub::Interest::VisibleThreads);
    assert_eq!(later.recover().await.unwrap(), 0, "a waiting run needs nobody");
    later.decide(&anna().owner(), approval(&seen), Decision::Once, None).await.unwrap();
    ended(&mut listener, one.run_id).await;
    later.cancel(&anna().owner(), two.run_id).await.unwrap();
    ended(&mut listener, two.run_id).await;
    assert_eq!(house.run(one.run_id).await.status, RunStatus::Succeeded);
    assert_eq!(house.run(two.run_id).await.status, RunStatus::Cancelled);
    assert_eq!(house.tools.calls().len(), 1);
}

#[tokio::test]
async fn after_one_of_two_calls_is_denied_the_run_still_waits_for_the_other() {
    let house = House::new(twice(), dangerous()).await;
    let mut listener = house.listen();
    let accepted = say(&house.engine, None, "c1", "destroy both").await;
    let seen = until(&mut listener, accepted.run_id, waiting).await;
    let asked = approvals(&seen);
    house.engine.decide(&anna().owner(), asked[0], Decision::Deny, None).await.unwrap();
    let seen = until(&mut listener, accepted.run_id, waiting).await;
    assert_eq!(kinds(&seen), ["approval_decided", "tool_result", "run_state"]);
    assert_eq!(house.run(accepted.run_id).await.status, RunStatus::Waiting);
    house.engine.decide(&anna().owner(), asked[1], Decision::Once, None).await.unwrap();
    ended(&mut listener, accepted.run_id).await;
    assert_eq!(house.tools.calls().len(), 1);
}

#[tokio::test]
async fn a_run_taken_over_after_an_allowed_call_was_sent_waits_for_the_other_decision() {
    let hold = Arc::new(Semaphore::new(0));
    let hints = Hints { destructive: Some(true), ..Hints::default() };
    let house = House::new(twice(), FakeTools::new().held("destroy", hints, hold.clone())).await;
    let mut listener = house.listen();
    let accepted = say(&house.engine, None, "c1", "destroy both").await;
    let seen = until(&mut listener, accepted.run_id, waiting).await;
    house.engine.decide(&anna().owner(), approvals(&seen)[0], Decision::Once, None).await.unwrap();
    while house.tools.calls().is_empty() {
        tokio::task::yield_now().await;
    }
    // The call is sent, and its replica dies before the answer.
    let other = house.another(twice(), 2);
    let mut elsewhere = other.hub().subscribe(&anna().owner(), Interest::VisibleThreads);
    assert_eq!(other.recover().await.unwrap(), 1);
    let seen = until(&mut elsewhere, accepted.run_id, waiting).await;
    assert_eq!(kinds(&seen), ["tool_result", "run_state"]);
    assert_eq!(house.run(accepted.run_id).await.status, RunStatus::Waiting);
    hold.add_permits(1);
}

#[tokio::test]
async fn a_long_run_that_waited_still_knows_what_it_was_asked() {
    let model = FakeModel::new(|request| {
        if results(request).last().is_some_and(|last| last.contains("destroyed")) {
            return vec![Move::Say(format!("asked: {}", last_user(request)))];
        }
        match round(request) {
            0..7 => vec![Move::call("fake__look", json!({})); limits::CALLS_PER_ANSWER],
            _ => vec![Move::call("fake__destroy", json!({}))],
        }
    });
    let look = Hints { read_only: Some(true), ..Hints::default() };
    let house = House::new(model, dangerous().tool("look", look, |_| Ok(reply("seen")))).await;
    let mut listener = house.listen();
    let accepted = say(&house.engine, None, "c1", "look around, then destroy it").await;
    let seen = until(&mut listener, accepted.run_id, waiting).await;
    house.engine.decide(&anna().owner(), approval(&seen), Decision::Once, None).await.unwrap();
    ended(&mut listener, accepted.run_id).await;
    assert_eq!(
        texts(&house.messages(accepted.thread_id).await).last().unwrap(),
        "assistant: asked: look around, then destroy it"
    );
}
