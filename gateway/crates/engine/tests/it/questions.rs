//! Tools that ask a person while their call is under way.

use adjutant_core::ids::QuestionId;
use adjutant_core::limits;
use adjutant_core::message::ForeignText;
use adjutant_core::question::{Answer, CallDoor, Field, FieldKind, Question};
use adjutant_core::tool::{Hints, ToolError, ToolReply};
use adjutant_engine::events::event::{EventBody, Live};
use adjutant_engine::events::hub::Interest;
use adjutant_engine::runs::control::ControlError;
use adjutant_store::questions;
use adjutant_store::runs::RunStatus;
use adjutant_testkit::model::{FakeModel, Move, round};
use adjutant_testkit::tools::{FakeTools, reply};
use serde_json::{Map, Value, json};

use crate::support::{House, PATIENCE, anna, ended, kinds, say, scope, texts, until};

fn form() -> Question {
    let options = vec![("s".to_owned(), "Small".to_owned()), ("l".to_owned(), "Large".to_owned())];
    let kind = FieldKind::Choice { options, multiple: false };
    let field = Field { name: "size".into(), title: None, description: None, required: true, kind, default: None };
    Question { message: ForeignText::new("Which size?\u{0}"), fields: vec![field] }
}

/// Orders what the person chooses.
async fn order(door: CallDoor) -> Result<ToolReply, ToolError> {
    Ok(match door.ask(form()).await {
        Answer::Accept(values) => reply(&format!("ordered {}", values["size"])),
        Answer::Decline => reply("declined"),
        Answer::Cancel => reply("cancelled"),
    })
}

fn orderer() -> FakeModel {
    FakeModel::new(|request| match round(request) {
        0 => vec![Move::call("fake__order", json!({}))],
        _ => vec![Move::say("so be it")],
    })
}

fn shop() -> FakeTools {
    FakeTools::new().talking("order", Hints::default(), order)
}

fn asks(body: &EventBody) -> bool {
    matches!(body, EventBody::QuestionAsked { .. })
}

fn question(bodies: &[EventBody]) -> QuestionId {
    let asked = bodies.iter().find_map(|body| match body {
        EventBody::QuestionAsked { question_id, .. } => Some(*question_id),
        _ => None,
    });
    asked.expect("a question was asked")
}

fn accept(size: &str) -> Answer {
    Answer::Accept(Map::from_iter([("size".to_owned(), Value::from(size))]))
}

#[tokio::test]
async fn a_tool_asks_and_goes_on_with_the_answer() {
    let house = House::new(orderer(), shop()).await;
    let mut listener = house.listen();
    let accepted = say(&house.engine, None, "c1", "order one").await;
    let seen = until(&mut listener, accepted.run_id, asks).await;
    let (owner, id) = (anna().owner(), question(&seen));
    assert_eq!(house.run(accepted.run_id).await.status, RunStatus::Running);
    let wrong = house.engine.answer(&owner, id, accept("medium")).await;
    assert!(matches!(wrong, Err(ControlError::InvalidAnswer(_))), "{wrong:?}");
    house.engine.answer(&owner, id, accept("l")).await.unwrap();
    let seen = ended(&mut listener, accepted.run_id).await;
    assert_eq!(kinds(&seen), ["question_answered", "tool_result", "answer", "run_finished"]);
    let again = house.engine.answer(&owner, id, Answer::Decline).await;
    assert!(matches!(again, Err(ControlError::AlreadyAnswered)), "{again:?}");
    assert_eq!(texts(&house.messages(accepted.thread_id).await)[2], "tool: succeeded ordered \"l\"");
    // What was answered was for the tool, and is not kept.
    let kept = house.db.store.scoped(&owner, async |tx| questions::answers(tx, &[id]).await).await.unwrap();
    assert_eq!(kept, [(id, Answer::Cancel)]);
}

#[tokio::test]
async fn an_answer_reaches_the_call_from_another_replica_without_a_hint() {
    let house = House::new(orderer(), shop()).await;
    let mut listener = house.listen();
    let accepted = say(&house.engine, None, "c1", "order one").await;
    let seen = until(&mut listener, accepted.run_id, asks).await;
    let other = house.another(orderer(), 2);
    other.answer(&anna().owner(), question(&seen), Answer::Decline).await.unwrap();
    ended(&mut listener, accepted.run_id).await;
    assert_eq!(texts(&house.messages(accepted.thread_id).await)[2], "tool: succeeded declined");
}

#[tokio::test]
async fn a_foreign_question_answers_like_an_unknown_one() {
    let house = House::new(orderer(), shop()).await;
    let mut listener = house.listen();
    let accepted = say(&house.engine, None, "c1", "order one").await;
    let seen = until(&mut listener, accepted.run_id, asks).await;
    for stranger in [scope("ben", "personal"), scope("anna", "work")] {
        let owner = stranger.owner();
        let foreign = house.engine.answer(&owner, question(&seen), accept("s")).await;
        let unknown = house.engine.answer(&owner, QuestionId::new(), accept("s")).await;
        assert_eq!(format!("{foreign:?}"), format!("{unknown:?}"));
        let listed = house.db.store.scoped(&owner, async |tx| questions::page(tx, false, None, 10).await).await;
        assert_eq!(listed.unwrap(), []);
    }
    house.engine.cancel(&anna().owner(), accepted.run_id).await.unwrap();
    ended(&mut listener, accepted.run_id).await;
    let late = house.engine.answer(&anna().owner(), question(&seen), accept("s")).await;
    assert!(matches!(late, Err(ControlError::AlreadyAnswered)), "{late:?}");
    assert_eq!(texts(&house.messages(accepted.thread_id).await)[2].split(' ').nth(1), Some("unknown"));
}

#[tokio::test]
async fn a_crash_while_a_tool_asks_takes_the_question_back_and_the_outcome_is_unknown() {
    let house = House::new(orderer(), shop()).await;
    let mut listener = house.listen();
    let accepted = say(&house.engine, None, "c1", "order one").await;
    let seen = until(&mut listener, accepted.run_id, asks).await;
    let other = house.another(orderer(), 2);
    let mut elsewhere = other.hub().subscribe(&anna().owner(), Interest::VisibleThreads);
    assert_eq!(other.recover().await.unwrap(), 1);
    let taken = ended(&mut elsewhere, accepted.run_id).await;
    assert_eq!(kinds(&taken), ["question_answered", "tool_result", "answer", "run_finished"]);
    let EventBody::QuestionAnswered { action, .. } = &taken[0] else { panic!("{taken:?}") };
    assert_eq!(action, "withdrawn");
    assert!(texts(&house.messages(accepted.thread_id).await)[2].starts_with("tool: unknown"));
    let late = other.answer(&anna().owner(), question(&seen), accept("s")).await;
    assert!(matches!(late, Err(ControlError::AlreadyAnswered)), "{late:?}");
}

#[tokio::test]
async fn a_call_that_gives_up_takes_its_question_back() {
    let tools = FakeTools::new().talking("order", Hints::default(), |door: CallDoor| async move {
        let asked = Box::pin(door.ask(form()));
        let given_up = Box::pin(tokio::time::sleep(std::time::Duration::from_millis(50)));
        futures::future::select(asked, given_up).await;
        Ok(reply("gave up"))
    });
    let house = House::new(orderer(), tools).await;
    let mut listener = house.listen();
    let accepted = say(&house.engine, None, "c1", "order one").await;
    let seen = ended(&mut listener, accepted.run_id).await;
    assert_eq!(
        kinds(&seen),
        ["run_started", "answer", "question_asked", "question_answered", "tool_result", "answer", "run_finished"]
    );
}

#[tokio::test]
async fn a_tool_cannot_ask_without_end_or_without_bounds() {
    let tools = FakeTools::new().talking("order", Hints::default(), |door: CallDoor| async move {
        let long = Question { message: ForeignText::new("x".repeat(limits::QUESTION_BYTES)), fields: Vec::new() };
        let refused = door.ask(long).await == Answer::Cancel;
        let asks = (0..2 * limits::QUESTIONS_PER_CALL).map(|_| door.ask(form()));
        let answers = futures::future::join_all(asks).await;
        let cancelled = answers.iter().filter(|answer| **answer == Answer::Cancel).count();
        Ok(reply(&format!("{refused} {cancelled}")))
    });
    let house = House::new(orderer(), tools).await;
    let mut listener = house.listen();
    let accepted = say(&house.engine, None, "c1", "order one").await;
    for _ in 1..limits::QUESTIONS_PER_CALL {
        let seen = until(&mut listener, accepted.run_id, asks).await;
        house.engine.answer(&anna().owner(), question(&seen), Answer::Decline).await.unwrap();
    }
    ended(&mut listener, accepted.run_id).await;
    let told = &texts(&house.messages(accepted.thread_id).await)[2];
    assert_eq!(told, &format!("tool: succeeded true {}", limits::QUESTIONS_PER_CALL + 1));
}

#[tokio::test]
async fn progress_is_live_and_no_faster_than_anybody_reads() {
    let tools = FakeTools::new().talking("order", Hints::default(), |door: CallDoor| async move {
        for step in 0..20 {
            door.progress(f64::from(step), Some(20.0), Some(ForeignText::new("y".repeat(1_000))));
            tokio::task::yield_now().await;
        }
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        Ok(reply("done"))
    });
    let house = House::new(orderer(), tools).await;
    let mut listener = house.listen();
    let accepted = say(&house.engine, None, "c1", "order one").await;
    let mut reports = Vec::new();
    loop {
        match tokio::time::timeout(PATIENCE, listener.next()).await.unwrap().unwrap() {
            Live::Progress(progress) => reports.push(progress),
            Live::Durable { events, .. } if events.iter().any(|event| event.body.ends_run()) => break,
            Live::Durable { .. } | Live::Delta(_) | Live::Thinking(_) => {}
        }
    }
    assert_eq!(reports.len(), 1, "{reports:?}");
    assert_eq!((reports[0].run, reports[0].total), (accepted.run_id, Some(20.0)));
    assert_eq!(reports[0].message.as_ref().unwrap().len(), limits::PROGRESS_CHARS);
    assert_eq!(house.events(accepted.thread_id).await.len(), 5);
}

#[tokio::test]
async fn the_time_of_a_person_is_not_the_runs() {
    let house = House::new(orderer(), shop()).await;
    let mut listener = house.listen();
    let begun = tokio::time::Instant::now();
    let accepted = say(&house.engine, None, "c1", "order one").await;
    let seen = until(&mut listener, accepted.run_id, asks).await;
    let thinking = std::time::Duration::from_secs(1);
    tokio::time::sleep(thinking).await;
    house.engine.answer(&anna().owner(), question(&seen), accept("s")).await.unwrap();
    ended(&mut listener, accepted.run_id).await;
    let worked = house.run(accepted.run_id).await.checkpoint.unwrap()["state"]["active_ms"].as_u64().unwrap();
    let at_most = begun.elapsed().checked_sub(thinking).unwrap();
    assert!(u128::from(worked) <= at_most.as_millis(), "{worked} ms, {at_most:?}");
}
