//! Tools that ask a person first.

use adjutant_core::tool::Hints;
use adjutant_engine::events::event::{EventBody, RunStateName};
use adjutant_engine::runs::control::ControlError;
use adjutant_store::approvals::Decision;
use adjutant_store::runs::RunStatus;
use adjutant_testkit::model::{FakeModel, Move, round};
use adjutant_testkit::tools::{FakeTools, reply};
use serde_json::json;

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

fn waiting(body: &EventBody) -> bool {
    matches!(body, EventBody::RunState { state: RunStateName::Waiting, .. })
}

fn approval(bodies: &[EventBody]) -> adjutant_core::ids::ApprovalId {
    let asked = bodies.iter().find_map(|body| match body {
        EventBody::ApprovalRequested { approval_id, .. } => Some(*approval_id),
        _ => None,
    });
    asked.expect("an approval was asked for")
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
