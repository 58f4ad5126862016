//! What happens to runs whose worker is gone.

use std::sync::Arc;

use adjutant_core::tool::Hints;
use adjutant_engine::events::event::{EventBody, RunStateName};
use adjutant_engine::events::hub::Interest;
use adjutant_store::runs::RunStatus;
use adjutant_testkit::model::{FakeModel, Move, results, round};
use adjutant_testkit::tools::FakeTools;
use serde_json::json;
use tokio::sync::Semaphore;

use crate::support::{House, anna, ended, gapless, next_text, say, texts, until};

fn caller(tool: &'static str) -> FakeModel {
    FakeModel::new(move |request| match round(request) {
        0 => vec![Move::call(tool, json!({}))],
        _ => vec![Move::Say(results(request).join("; "))],
    })
}

#[tokio::test]
async fn a_run_of_a_dead_replica_goes_on_at_another() {
    let hold = Arc::new(Semaphore::new(0));
    let stuck = hold.clone();
    let house =
        House::new(FakeModel::new(move |_| vec![Move::say("half"), Move::Hold(stuck.clone())]), FakeTools::new()).await;
    let mut listener = house.listen();
    let accepted = say(&house.engine, None, "c1", "hi").await;
    next_text(&mut listener).await;
    // Replica 1 never held its advisory lock: to others it is dead, although its worker still waits.
    let other = house.another(FakeModel::new(|_| vec![Move::say("whole")]), 2);
    let mut elsewhere = other.hub().subscribe(&anna().owner(), Interest::VisibleThreads);
    assert_eq!(other.recover().await.unwrap(), 1);
    ended(&mut elsewhere, accepted.run_id).await;
    // The old worker wakes late and changes nothing.
    hold.add_permits(1);
    house.engine.supervisor().stop().await;
    assert_eq!(texts(&house.messages(accepted.thread_id).await), ["user: hi", "assistant: whole"]);
    assert!(gapless(&house.events(accepted.thread_id).await));
    assert_eq!(house.run(accepted.run_id).await.crashes, 1);
}

#[tokio::test]
async fn a_call_that_may_have_happened_is_not_repeated() {
    let hold = Arc::new(Semaphore::new(0));
    let tools = FakeTools::new().held("effect", Hints::default(), hold.clone());
    let house = House::new(caller("fake__effect"), tools).await;
    let accepted = say(&house.engine, None, "c1", "do it").await;
    while house.tools.calls().is_empty() {
        tokio::task::yield_now().await;
    }
    let other = house.another(caller("fake__effect"), 2);
    let mut elsewhere = other.hub().subscribe(&anna().owner(), Interest::VisibleThreads);
    other.recover().await.unwrap();
    ended(&mut elsewhere, accepted.run_id).await;
    assert_eq!(house.tools.calls().len(), 1);
    let answer = house.messages(accepted.thread_id).await.last().unwrap().text();
    assert!(answer.contains("outcome=\"unknown\"") && answer.contains("it may have happened or not"), "{answer}");
    hold.add_permits(1);
}

#[tokio::test]
async fn a_read_only_call_is_simply_repeated() {
    let hold = Arc::new(Semaphore::new(0));
    let hints = Hints { read_only: Some(true), ..Hints::default() };
    let tools = FakeTools::new().held("look", hints, hold.clone());
    let house = House::new(caller("fake__look"), tools).await;
    let accepted = say(&house.engine, None, "c1", "look").await;
    while house.tools.calls().is_empty() {
        tokio::task::yield_now().await;
    }
    let other = house.another(caller("fake__look"), 2);
    let mut elsewhere = other.hub().subscribe(&anna().owner(), Interest::VisibleThreads);
    other.recover().await.unwrap();
    hold.add_permits(2);
    ended(&mut elsewhere, accepted.run_id).await;
    assert_eq!(house.tools.calls().len(), 2);
    let answer = house.messages(accepted.thread_id).await.last().unwrap().text();
    assert!(answer.contains("done"), "{answer}");
}

/// Claims the run for one replica after the other, none of which gets anywhere.
async fn crash_twice(house: &House) -> adjutant_engine::engine::Engine {
    let never = || {
        let hold = Arc::new(Semaphore::new(0));
        FakeModel::new(move |_| vec![Move::Hold(hold.clone())])
    };
    house.another(never(), 2).recover().await.unwrap();
    let third = house.another(FakeModel::new(|_| vec![Move::say("at last")]), 3);
    third.recover().await.unwrap();
    third
}

#[tokio::test]
async fn the_second_crash_quarantines_and_only_a_person_starts_it_again() {
    let hold = Arc::new(Semaphore::new(0));
    let house = House::new(FakeModel::new(move |_| vec![Move::Hold(hold.clone())]), FakeTools::new()).await;
    let accepted = say(&house.engine, None, "c1", "hi").await;
    let third = crash_twice(&house).await;
    assert_eq!(house.run(accepted.run_id).await.status, RunStatus::Quarantined);
    let fourth = house.another(FakeModel::new(|_| vec![Move::say("never")]), 4);
    assert_eq!(fourth.recover().await.unwrap(), 0, "never started by itself");
    let events = house.events(accepted.thread_id).await;
    let quarantined = |body: &EventBody| matches!(body, EventBody::RunState { state: RunStateName::Quarantined, .. });
    assert!(events.iter().any(|event| quarantined(&event.body)));

    let mut listener = third.hub().subscribe(&anna().owner(), Interest::VisibleThreads);
    third.retry(&anna().owner(), accepted.run_id).await.unwrap();
    ended(&mut listener, accepted.run_id).await;
    assert_eq!(texts(&house.messages(accepted.thread_id).await)[1], "assistant: at last");
    assert!(third.retry(&anna().owner(), accepted.run_id).await.is_err());
}

#[tokio::test]
async fn a_quarantined_run_blocks_nobody_and_can_be_discarded() {
    let hold = Arc::new(Semaphore::new(0));
    let house = House::new(FakeModel::new(move |_| vec![Move::Hold(hold.clone())]), FakeTools::new()).await;
    let accepted = say(&house.engine, None, "c1", "hi").await;
    let third = crash_twice(&house).await;
    let mut listener = third.hub().subscribe(&anna().owner(), Interest::VisibleThreads);
    let next = say(&third, Some(accepted.thread_id), "c2", "are you there?").await;
    ended(&mut listener, next.run_id).await;
    third.discard(&anna().owner(), accepted.run_id).await.unwrap();
    let last = until(&mut listener, accepted.run_id, EventBody::ends_run).await;
    assert!(matches!(last.last(), Some(EventBody::RunFailed { code, .. }) if code == "run_discarded"));
    assert_eq!(house.run(accepted.run_id).await.status, RunStatus::Discarded);
}

#[tokio::test]
async fn a_stopping_server_hands_its_runs_over_and_that_is_no_crash() {
    let hold = Arc::new(Semaphore::new(0));
    let house =
        House::new(FakeModel::new(move |_| vec![Move::say("half"), Move::Hold(hold.clone())]), FakeTools::new()).await;
    let mut listener = house.listen();
    let accepted = say(&house.engine, None, "c1", "hi").await;
    next_text(&mut listener).await;
    house.engine.supervisor().stop().await;
    let other = house.another(FakeModel::new(|_| vec![Move::say("whole")]), 2);
    let mut elsewhere = other.hub().subscribe(&anna().owner(), Interest::VisibleThreads);
    assert_eq!(other.recover().await.unwrap(), 1);
    ended(&mut elsewhere, accepted.run_id).await;
    assert_eq!(house.run(accepted.run_id).await.crashes, 0);
}

#[tokio::test]
async fn a_worker_that_panics_is_a_crash_of_its_run_alone() {
    let model = FakeModel::new(|request| {
        assert!(!adjutant_testkit::model::last_user(request).contains("boom"), "planted");
        vec![Move::say("fine")]
    });
    let house = House::new(model, FakeTools::new()).await;
    let mut listener = house.listen();
    let accepted = say(&house.engine, None, "c1", "boom").await;
    for _ in 0..2 {
        while house.engine.active_runs() > 0 {
            tokio::task::yield_now().await;
        }
        house.engine.recover().await.unwrap();
    }
    assert_eq!(house.run(accepted.run_id).await.status, RunStatus::Quarantined);
    assert_eq!(house.engine.supervisor().panics(), 2);
    let next = say(&house.engine, None, "c2", "hi").await;
    ended(&mut listener, next.run_id).await;
}
