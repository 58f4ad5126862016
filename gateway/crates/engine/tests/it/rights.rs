//! A run has the rights of the key that it was asked for with, as they are when it starts, goes on, and runs a tool.

use std::sync::Arc;

use adjutant_core::message::OutcomeKind;
use adjutant_core::profile::{ProfileOrigin, ProfileSettings};
use adjutant_core::scope::{Role, Scope};
use adjutant_core::tool::Hints;
use adjutant_engine::engine::Engine;
use adjutant_engine::events::event::EventBody;
use adjutant_engine::events::hub::Interest;
use adjutant_engine::runs::submission::{Accepted, SubmitError};
use adjutant_store::keys::{self, KeyIdentity, KeyProfile, NewKey};
use adjutant_store::ledger::{self, CallState};
use adjutant_store::profiles;
use adjutant_store::runs::RunStatus;
use adjutant_store::users::{self, UserChange};
use adjutant_testkit::model::{FakeModel, Move, last_user, round};
use adjutant_testkit::tools::FakeTools;
use serde_json::json;
use tokio::sync::Semaphore;

use crate::support::{House, anna, ended, next_text, submission, texts};

const KEY: &str = "annaskey";

/// Anna, with a key that exists.
async fn keyed(house: &House) -> Scope {
    let identity = KeyIdentity {
        key_id: KEY.to_owned(),
        user: anna().user,
        profile: KeyProfile::Any,
        role: Role::Admin,
        allow_operator_llm: true,
    };
    let new = NewKey { identity, hash: [7; 32], label: String::new() };
    house.db.store.system("test", async |tx| keys::create(tx, &new).await).await.unwrap();
    Scope { key: Some(KEY.into()), ..anna() }
}

async fn revoke(house: &House) {
    house.db.store.system("test", async |tx| keys::revoke(tx, KEY).await).await.unwrap();
}

async fn say(engine: &Engine, scope: &Scope, after: Option<&Accepted>, id: &str, text: &str) -> Accepted {
    engine.submit(scope, submission(after.map(|after| after.thread_id), id, text)).await.unwrap()
}

fn failed_with(seen: &[EventBody]) -> &str {
    match seen.last() {
        Some(EventBody::RunFailed { code, .. }) => code,
        other => panic!("the run did not fail: {other:?}"),
    }
}

/// Says `began`, then waits for a permit where it is asked something slow.
fn slow(hold: &Arc<Semaphore>) -> FakeModel {
    let hold = hold.clone();
    FakeModel::new(move |request| match last_user(request).as_str() {
        "slow" => vec![Move::say("began"), Move::Hold(hold.clone()), Move::say(".")],
        _ => vec![Move::say("yes")],
    })
}

#[tokio::test]
async fn a_queued_run_of_a_revoked_key_never_reaches_the_model() {
    let hold = Arc::new(Semaphore::new(0));
    let model = slow(&hold);
    let requests = model.recorded();
    let house = House::new(model, FakeTools::new()).await;
    let scope = keyed(&house).await;
    let mut listener = house.listen();
    let first = say(&house.engine, &scope, None, "1", "slow").await;
    let second = say(&house.engine, &scope, Some(&first), "2", "and then?").await;
    revoke(&house).await;
    hold.add_permits(1);
    let seen = ended(&mut listener, second.run_id).await;
    assert_eq!(failed_with(&seen), "rights_lost");
    assert_eq!(house.run(first.run_id).await.status, RunStatus::Succeeded, "its answer was on its way");
    assert_eq!(requests.lock().unwrap().len(), 1);
    let refused = house.engine.submit(&scope, submission(None, "3", "hello?")).await;
    assert!(matches!(refused, Err(SubmitError::RightsLost)), "{refused:?}");
    assert_eq!(texts(&house.messages(first.thread_id).await).len(), 3, "nothing more is stored");
}

#[tokio::test]
async fn no_tool_runs_for_a_key_that_was_revoked_meanwhile() {
    let hold = Arc::new(Semaphore::new(0));
    let stuck = hold.clone();
    let model = FakeModel::new(move |request| match round(request) {
        0 => vec![
            Move::say("let me see"),
            Move::Hold(stuck.clone()),
            Move::call("fake__look", json!({})),
            Move::call("fake__effect", json!({})),
        ],
        _ => vec![Move::say("never")],
    });
    let look = Hints { read_only: Some(true), ..Hints::default() };
    let done = |_: &serde_json::Value| -> Result<_, _> { panic!("the tool was called") };
    let tools = FakeTools::new().tool("look", look, done).tool("effect", Hints::default(), done);
    let house = House::new(model, tools).await;
    let scope = keyed(&house).await;
    let mut listener = house.listen();
    let accepted = say(&house.engine, &scope, None, "1", "do it").await;
    next_text(&mut listener).await;
    revoke(&house).await;
    hold.add_permits(1);
    let seen = ended(&mut listener, accepted.run_id).await;
    assert_eq!(failed_with(&seen), "rights_lost");
    assert_eq!(house.tools.calls().len(), 0);
    let owner = anna().owner();
    let rows = house.db.store.scoped(&owner, async |tx| ledger::of_run(tx, accepted.run_id).await).await.unwrap();
    let states: Vec<CallState> = rows.iter().map(|row| row.state).collect();
    assert_eq!(states, [CallState::Ended(OutcomeKind::Denied); 2], "nothing of them left");
}

#[tokio::test]
async fn a_run_that_is_found_after_a_crash_goes_on_only_with_its_rights() {
    let hold = Arc::new(Semaphore::new(0));
    let house = House::new(slow(&hold), FakeTools::new()).await;
    let scope = keyed(&house).await;
    let mut listener = house.listen();
    let accepted = say(&house.engine, &scope, None, "1", "slow").await;
    next_text(&mut listener).await;
    revoke(&house).await;
    // Replica 1 never held its lock: to others it is dead.
    let model = FakeModel::new(|_| vec![Move::say("never")]);
    let requests = model.recorded();
    let other = house.another(model, 2);
    let mut elsewhere = other.hub().subscribe(&anna().owner(), Interest::VisibleThreads);
    assert_eq!(other.recover().await.unwrap(), 1);
    let seen = ended(&mut elsewhere, accepted.run_id).await;
    assert_eq!(failed_with(&seen), "rights_lost");
    assert_eq!(requests.lock().unwrap().len(), 0);
    hold.add_permits(1);
}

#[tokio::test]
async fn a_queued_run_starts_with_the_grant_and_the_profile_of_that_moment() {
    let hold = Arc::new(Semaphore::new(0));
    let model = slow(&hold);
    let requests = model.recorded();
    let house = House::new(model, FakeTools::new()).await;
    let scope = keyed(&house).await;
    let mut listener = house.listen();
    let first = say(&house.engine, &scope, None, "1", "slow").await;
    let second = say(&house.engine, &scope, Some(&first), "2", "and then?").await;
    let change = UserChange { allow_operator_llm: Some(false), is_disabled: None };
    house.db.store.system("test", async |tx| users::change(tx, &anna().user, change).await).await.unwrap();
    let settings = ProfileSettings {
        system_prompt: Some("NEW".to_owned()),
        models: vec!["a/b".to_owned()],
        ..ProfileSettings::default()
    };
    let owner = anna().owner();
    let put = async |tx: &mut _| profiles::put(tx, &settings, ProfileOrigin::Person).await;
    house.db.store.scoped(&owner, put).await.unwrap();
    hold.add_permits(1);
    ended(&mut listener, second.run_id).await;
    let requests = requests.lock().unwrap();
    let granted: Vec<bool> = requests.iter().map(|request| request.access.operator).collect();
    assert_eq!(granted, [true, false]);
    assert_eq!(requests[1].models, ["a/b"]);
    let first_part = |index: usize| format!("{:?}", requests[index].messages[0].parts[0]);
    assert!(first_part(0).contains("Chief of Staff") && first_part(1).contains("NEW"));
}

#[tokio::test]
async fn a_profile_has_the_servers_that_it_names() {
    let model = FakeModel::new(|_| vec![Move::say("yes")]);
    let requests = model.recorded();
    let look = Hints { read_only: Some(true), ..Hints::default() };
    let never = |_: &serde_json::Value| -> Result<_, _> { panic!("the tool was called") };
    let house = House::new(model, FakeTools::new().tool("look", look, never)).await;
    let scope = keyed(&house).await;
    let mut listener = house.listen();
    for (number, allowed) in [None, Some(vec![]), Some(vec!["fake".to_owned()])].into_iter().enumerate() {
        let settings = ProfileSettings { allowed_servers: allowed, ..ProfileSettings::default() };
        let put = async |tx: &mut _| profiles::put(tx, &settings, ProfileOrigin::Person).await;
        house.db.store.scoped(&anna().owner(), put).await.unwrap();
        let accepted = say(&house.engine, &scope, None, &number.to_string(), "hi").await;
        ended(&mut listener, accepted.run_id).await;
    }
    let tools: Vec<usize> = requests.lock().unwrap().iter().map(|request| request.tools.len()).collect();
    assert_eq!(tools, [1, 0, 1]);
}
