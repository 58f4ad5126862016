//! Messages sent while a run is going, and branches.

use std::sync::Arc;

use adjutant_core::limits;
use adjutant_engine::events::event::EventBody;
use adjutant_engine::runs::submission::SubmitError;
use adjutant_store::runs::RunStatus;
use adjutant_testkit::model::{FakeModel, Move, last_user};
use adjutant_testkit::tools::FakeTools;
use tokio::sync::Semaphore;

use crate::support::{House, anna, ended, gapless, kinds, say, submission, tree, try_say, until};

fn echo(hold: Arc<Semaphore>) -> FakeModel {
    FakeModel::new(move |request| {
        let asked = last_user(request);
        let held = asked.starts_with("slow").then(|| Move::Hold(hold.clone()));
        held.into_iter().chain([Move::Say(format!("re {asked}"))]).collect()
    })
}

#[tokio::test]
async fn a_message_sent_meanwhile_is_answered_after_and_follows_the_answer() {
    let hold = Arc::new(Semaphore::new(0));
    let house = House::new(echo(hold.clone()), FakeTools::new()).await;
    let mut listener = house.listen();
    let first = say(&house.engine, None, "c1", "slow one").await;
    let second = say(&house.engine, Some(first.thread_id), "c2", "two").await;
    let third = say(&house.engine, Some(first.thread_id), "c3", "three").await;
    assert_eq!(house.run(second.run_id).await.status, RunStatus::Queued);
    hold.add_permits(1);
    let seen = ended(&mut listener, third.run_id).await;
    assert_eq!(kinds(&seen), ["run_started", "run_state", "answer", "run_finished"]);
    let expected = [
        ("slow one", "root"),
        ("re slow one", "slow one"),
        ("two", "re slow one"),
        ("re two", "two"),
        ("three", "re two"),
        ("re three", "three"),
    ];
    let tree = tree(&house.messages(first.thread_id).await);
    for (child, parent) in expected {
        assert_eq!(tree[child], parent, "{child}");
    }
    assert!(gapless(&house.events(first.thread_id).await));
}

#[tokio::test]
async fn a_queued_message_can_be_cancelled_before_it_starts() {
    let hold = Arc::new(Semaphore::new(0));
    let house = House::new(echo(hold.clone()), FakeTools::new()).await;
    let mut listener = house.listen();
    let first = say(&house.engine, None, "c1", "slow one").await;
    let second = say(&house.engine, Some(first.thread_id), "c2", "two").await;
    let third = say(&house.engine, Some(first.thread_id), "c3", "three").await;
    house.engine.cancel(&anna().owner(), second.run_id).await.unwrap();
    hold.add_permits(1);
    ended(&mut listener, third.run_id).await;
    assert_eq!(house.run(second.run_id).await.status, RunStatus::Cancelled);
    assert_eq!(tree(&house.messages(first.thread_id).await)["three"], "re slow one");
}

#[tokio::test]
async fn a_branch_starts_at_the_named_message() {
    let house = House::new(echo(Arc::new(Semaphore::new(0))), FakeTools::new()).await;
    let mut listener = house.listen();
    let first = say(&house.engine, None, "c1", "one").await;
    ended(&mut listener, first.run_id).await;
    let second = say(&house.engine, Some(first.thread_id), "c2", "two").await;
    ended(&mut listener, second.run_id).await;
    let mut edited = submission(Some(first.thread_id), "c3", "two, but better");
    let answer = house.messages(first.thread_id).await[1].id;
    edited.parent = Some(answer);
    let branch = house.engine.submit(&anna(), edited).await.unwrap();
    ended(&mut listener, branch.run_id).await;
    let tree = tree(&house.messages(first.thread_id).await);
    assert_eq!(tree["two"], "re one");
    assert_eq!(tree["two, but better"], "re one");
    let next = say(&house.engine, Some(first.thread_id), "c4", "next").await;
    ended(&mut listener, next.run_id).await;
    let now = crate::support::tree(&house.messages(first.thread_id).await);
    assert_eq!(now["next"], "re two, but better", "the head follows the branch");
}

#[tokio::test]
async fn a_full_queue_refuses_and_loses_nothing() {
    let hold = Arc::new(Semaphore::new(0));
    let house = House::new(echo(hold.clone()), FakeTools::new()).await;
    let mut listener = house.listen();
    let first = say(&house.engine, None, "c0", "slow one").await;
    let thread = Some(first.thread_id);
    let mut last = first;
    for number in 0..limits::QUEUED_RUNS {
        last = say(&house.engine, thread, &format!("q{number}"), &format!("m{number}")).await;
    }
    let refused = try_say(&house.engine, thread, "too many", "no").await;
    assert!(matches!(refused, Err(SubmitError::QueueFull)), "{refused:?}");
    hold.add_permits(1);
    until(&mut listener, last.run_id, EventBody::ends_run).await;
    let after = say(&house.engine, thread, "too many", "now").await;
    assert!(!after.repeated);
}
