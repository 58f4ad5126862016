//! What happens to runs whose worker is gone.

use std::sync::Arc;

use adjutant_core::model::{LlmClient, ModelAccess, ModelError, ModelEvent, ModelRequest, Purpose};
use adjutant_core::tool::Hints;
use adjutant_engine::events::event::{EventBody, Live, RunStateName};
use adjutant_engine::events::hub::Interest;
use adjutant_store::listen::Notice;
use adjutant_store::runs::RunStatus;
use adjutant_testkit::model::{FakeModel, Move, results, round};
use adjutant_testkit::tools::FakeTools;
use futures::StreamExt;
use futures::stream::{self, BoxStream};
use serde_json::json;
use tokio::sync::Semaphore;

use crate::support::{House, PATIENCE, anna, ended, gapless, next_text, say, texts, until};

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

#[tokio::test]
async fn a_look_for_lost_runs_leaves_alone_what_is_submitted_meanwhile() {
    let hold = Arc::new(Semaphore::new(0));
    let held = hold.clone();
    let house =
        House::new(FakeModel::new(move |_| vec![Move::Hold(held.clone()), Move::say("ok")]), FakeTools::new()).await;
    let mut listener = house.listen();
    // Both connections of the system role are busy, so that the look begins before the run exists and ends after.
    let busy = Arc::new(Semaphore::new(0));
    let entered = Arc::new(Semaphore::new(0));
    let occupy = || {
        house.db.store.system("keep a connection busy", async |_tx| {
            entered.add_permits(1);
            busy.acquire().await.unwrap().forget();
            Ok(())
        })
    };
    let scene = async {
        entered.acquire_many(2).await.unwrap().forget();
        let mut look = Box::pin(house.engine.recover());
        assert!(futures::poll!(&mut look).is_pending());
        let accepted = say(&house.engine, None, "c1", "hi").await;
        busy.add_permits(2);
        assert_eq!(look.await.unwrap(), 0);
        accepted
    };
    let (one, two, accepted) = tokio::join!(occupy(), occupy(), scene);
    one.and(two).unwrap();
    assert_eq!(house.run(accepted.run_id).await.fence, 1, "nobody took it over");
    hold.add_permits(1);
    ended(&mut listener, accepted.run_id).await;
}

#[tokio::test]
async fn a_look_for_lost_runs_leaves_alone_what_is_being_taken_up() {
    let hold = Arc::new(Semaphore::new(0));
    let held = hold.clone();
    let model = FakeModel::new(move |request| {
        let slow = adjutant_testkit::model::last_user(request) == "slow";
        slow.then(|| Move::Hold(held.clone())).into_iter().chain([Move::say("ok")]).collect()
    });
    let house = House::new(model, FakeTools::new()).await;
    let mut listener = house.listen();
    let first = say(&house.engine, None, "c1", "slow").await;
    let second = say(&house.engine, Some(first.thread_id), "c2", "next").await;
    let order = house.engine.hub().order_of(first.thread_id);
    house.engine.cancel(&anna().owner(), first.run_id).await.unwrap();
    // Whoever gets the order lock right after the first run's end holds the second one up before its worker starts.
    let ordered = loop {
        let ordered = order.lock().await;
        if house.run(second.run_id).await.status == RunStatus::Running {
            break ordered;
        }
        drop(ordered);
        tokio::task::yield_now().await;
    };
    let look = tokio::time::timeout(PATIENCE, house.engine.recover()).await;
    assert_eq!(look.expect("it took the run over").unwrap(), 0);
    drop(ordered);
    ended(&mut listener, second.run_id).await;
}

#[tokio::test]
async fn one_look_takes_up_however_many_are_lost() {
    let house = House::new(FakeModel::new(|_| vec![Move::Hold(Arc::new(Semaphore::new(0)))]), FakeTools::new()).await;
    for number in 0..120 {
        say(&house.engine, None, &format!("c{number}"), "hi").await;
    }
    house.engine.supervisor().stop().await;
    let other = house.another(FakeModel::new(|_| vec![Move::say("ok")]), 2);
    assert_eq!(other.recover().await.unwrap(), 120);
    other.supervisor().stop().await;
}

#[tokio::test]
async fn a_cancel_whose_hint_was_lost_is_heard_when_notices_come_back() {
    let hold = Arc::new(Semaphore::new(0));
    let house =
        House::new(FakeModel::new(move |_| vec![Move::say("half"), Move::Hold(hold.clone())]), FakeTools::new()).await;
    let mut listener = house.listen();
    let accepted = say(&house.engine, None, "c1", "hi").await;
    next_text(&mut listener).await;
    house.another(FakeModel::new(|_| vec![]), 2).cancel(&anna().owner(), accepted.run_id).await.unwrap();
    house.engine.heard(&Notice::Back).await;
    ended(&mut listener, accepted.run_id).await;
    assert_eq!(house.run(accepted.run_id).await.status, RunStatus::Cancelled);
}

#[tokio::test]
async fn a_cancel_that_crosses_the_end_of_an_answer_is_not_forgotten() {
    let hold = Arc::new(Semaphore::new(0));
    let held = hold.clone();
    let model = FakeModel::new(move |_| vec![Move::Hold(held.clone()), Move::call("fake__slow", json!({}))]);
    let tools = FakeTools::new().held("slow", Hints::default(), Arc::new(Semaphore::new(0)));
    let house = House::new(model, tools).await;
    let mut listener = house.listen();
    let accepted = say(&house.engine, None, "c1", "hi").await;
    let admin = house.db.admin();
    let mut tx = admin.begin().await.unwrap();
    sqlx::raw_sql("lock table runs in access exclusive mode; update runs set cancel_requested = true")
        .execute(&mut *tx)
        .await
        .unwrap();
    // The worker looks whether it is cancelled, and before it knows the model has answered.
    house.engine.heard(&Notice::Run(accepted.run_id)).await;
    stuck_on_runs(&admin, "AccessShareLock").await;
    hold.add_permits(1);
    stuck_on_runs(&admin, "RowExclusiveLock").await;
    tx.commit().await.unwrap();
    ended(&mut listener, accepted.run_id).await;
    assert_eq!(house.run(accepted.run_id).await.status, RunStatus::Cancelled);
}

/// Waits until somebody waits for the table of runs in this mode.
async fn stuck_on_runs(admin: &sqlx::PgPool, mode: &str) {
    let waiting =
        "select exists (select from pg_locks where relation = 'runs'::regclass and not granted and mode = $1)";
    while !sqlx::query_scalar::<_, bool>(waiting).bind(mode).fetch_one(admin).await.unwrap() {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_message_committed_while_the_server_stops_is_handed_over_and_that_is_no_crash() {
    let hold = Arc::new(Semaphore::new(0));
    let house = House::new(FakeModel::new(move |_| vec![Move::Hold(hold.clone())]), FakeTools::new()).await;
    let admin = house.db.admin();
    // Commits of runs wait for a lock that the test holds.
    sqlx::raw_sql(
        "create function hold_commit() returns trigger language plpgsql as
             $$ begin perform pg_advisory_xact_lock_shared(7); return null; end $$;
         create constraint trigger hold_commit after insert on runs deferrable initially deferred
             for each row execute function hold_commit()",
    )
    .execute(&admin)
    .await
    .unwrap();
    let mut tx = admin.begin().await.unwrap();
    sqlx::query("select pg_advisory_xact_lock(7)").execute(&mut *tx).await.unwrap();
    let scene = async {
        while house.engine.active_runs() == 0 {
            tokio::task::yield_now().await;
        }
        let mut stop = Box::pin(house.engine.supervisor().stop());
        let early = tokio::time::timeout(std::time::Duration::from_millis(200), &mut stop).await;
        tx.commit().await.unwrap();
        if early.is_err() {
            stop.await;
        }
    };
    let (accepted, ()) = tokio::join!(say(&house.engine, None, "c1", "hi"), scene);
    let other = house.another(FakeModel::new(|_| vec![Move::say("ok")]), 2);
    let mut elsewhere = other.hub().subscribe(&anna().owner(), Interest::VisibleThreads);
    assert_eq!(other.recover().await.unwrap(), 1);
    ended(&mut elsewhere, accepted.run_id).await;
    assert_eq!(house.run(accepted.run_id).await.crashes, 0);
}

/// Panics in the middle of its first answer; the second is whole.
struct Stumbling(std::sync::atomic::AtomicBool);

impl LlmClient for Stumbling {
    fn stream(&self, request: ModelRequest) -> BoxStream<'static, Result<ModelEvent, ModelError>> {
        if self.0.swap(true, std::sync::atomic::Ordering::Relaxed) {
            return FakeModel::new(|_| vec![Move::say("whole")]).stream(request);
        }
        let half = stream::iter([Ok(ModelEvent::TextDelta("half".to_owned()))]);
        half.chain(stream::once(async { panic!("planted") })).boxed()
    }

    fn plan(&self, _: &[String], _: Purpose, _: &ModelAccess) -> Result<Vec<String>, ModelError> {
        Ok(vec!["stumbling".to_owned()])
    }

    fn default_model(&self) -> Option<&str> {
        Some("stumbling")
    }
}

#[tokio::test]
async fn an_answer_that_a_panic_cut_is_written_again_from_its_beginning() {
    let house = House::new(Stumbling(false.into()), FakeTools::new()).await;
    let mut listener = house.listen();
    let accepted = say(&house.engine, None, "c1", "hi").await;
    assert_eq!(next_text(&mut listener).await, "half");
    while house.engine.active_runs() > 0 {
        tokio::task::yield_now().await;
    }
    assert!(house.engine.hub().answer_so_far(&anna().owner(), accepted.thread_id).is_none(), "nobody writes");
    house.engine.recover().await.unwrap();
    loop {
        match tokio::time::timeout(PATIENCE, listener.next()).await.unwrap().unwrap() {
            Live::Delta(delta) => break assert_eq!((delta.offset, &*delta.text), (0, "whole")),
            Live::Durable { .. } | Live::Thinking(_) | Live::Progress(_) => {}
        }
    }
}
