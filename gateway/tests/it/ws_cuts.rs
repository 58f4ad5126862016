//! A connection that is cut at any frame and resumed: the client knows in the end what an uncut one knows.

use std::sync::Arc;

use adjutant_store::threads::Kind;
use adjutant_testkit::provider::{Piece, Reply, Turn};
use serde_json::{Value, json};
use tokio::sync::Semaphore;

use super::ws_support::{Client, House, ends_run, is, is_custom};
use super::ws_transcript::Transcript;

fn piece(text: &str) -> Piece {
    Piece::Text(text.to_owned())
}

fn call(name: &str, key: &str) -> Piece {
    let arguments = json!({"key": key}).to_string();
    Piece::Call { id: format!("call_{key}"), name: format!("effects__{name}"), arguments }
}

/// Text, two tools, text and one tool, text: with a pause inside the last answer where `hold` is given.
fn script(hold: Option<Arc<Semaphore>>) -> impl Fn(&Turn) -> Reply + Send + Sync + 'static {
    move |turn| {
        let pieces = match turn.round() {
            0 => vec![piece("Let me look 🐈"), piece(" twice. "), call("look", "a"), call("look", "b")],
            1 => vec![call("look", "c")],
            _ => {
                let mut pieces = vec![piece("It is "), piece("🐈🐈 "), piece("so.")];
                if let Some(hold) = &hold {
                    pieces.insert(2, Piece::Hold(Arc::clone(hold)));
                }
                pieces
            }
        };
        Reply::Stream(pieces)
    }
}

/// The events of the one run that this client starts, up to `most` of them.
async fn begin(house: &House, number: usize, most: usize, last: impl Fn(&Value) -> bool) -> (Vec<Value>, bool) {
    let mut client = house.owner().await;
    let id = format!("00000000-0000-7000-8000-{number:012}");
    client.say(None, &id, "go").await;
    let mut events = Vec::new();
    let mut thread = Value::Null;
    while events.len() < most {
        let frame = client.next().await;
        if frame["type"] != "event" || (!thread.is_null() && frame["threadId"] != thread) {
            continue;
        }
        if thread.is_null() && frame["event"]["input"]["messages"][0]["metadata"]["clientMessageId"] != id {
            continue;
        }
        thread = frame["threadId"].clone();
        let end = last(&frame);
        events.push(frame);
        if end {
            return (events, true);
        }
    }
    // Dropped here: no farewell.
    (events, false)
}

fn transcript(frames: &[Value]) -> Transcript {
    let mut transcript = Transcript::default();
    transcript.apply_all(frames);
    transcript
}

async fn resumed(house: &House, transcript: &mut Transcript, thread: &Value) -> Client {
    let mut client = house.owner().await;
    client.resume(thread.as_str().unwrap(), transcript.last).await;
    transcript.apply_all(&client.arrived().await);
    client
}

#[tokio::test]
async fn cut_at_any_frame_and_resumed_the_transcript_equals_the_uncut_one() {
    let house = House::new(script(None)).await;
    let (whole, _) = begin(&house, 0, usize::MAX, ends_run).await;
    let expected = transcript(&whole).normal();
    assert!(whole.len() >= 20, "{}", whole.len());
    let mut cut = 0;
    loop {
        cut += 1;
        let (before, ended) = begin(&house, cut, cut, ends_run).await;
        let mut transcript = transcript(&before);
        let mut client = resumed(&house, &mut transcript, &before[0]["threadId"]).await;
        if ended {
            assert_eq!(transcript.normal(), expected, "resumed after the end");
            break;
        }
        while !transcript.ended() {
            transcript.apply(&client.next().await);
        }
        assert_eq!(transcript.normal(), expected, "cut after {cut} frames");
    }
    assert!(cut >= 20, "only {cut} cuts");
}

#[tokio::test]
async fn cut_and_resumed_while_an_answer_is_being_written_nothing_is_missed_or_doubled() {
    let hold = Arc::new(Semaphore::new(0));
    let house = House::new(script(Some(Arc::clone(&hold)))).await;
    hold.add_permits(1);
    let (whole, _) = begin(&house, 0, usize::MAX, ends_run).await;
    let expected = transcript(&whole).normal();
    let held = |frame: &Value| is(frame, "TEXT_MESSAGE_CONTENT") && frame["event"]["delta"] == "🐈🐈 ";
    let mut cut = 0;
    let mut reached = false;
    while !reached {
        cut += 1;
        let (before, came) = begin(&house, cut, cut, held).await;
        reached = came;
        let mut transcript = transcript(&before);
        let mut client = resumed(&house, &mut transcript, &before[0]["threadId"]).await;
        // Cut once more, now that the answer may be half written.
        let mut again = resumed(&house, &mut transcript, &before[0]["threadId"]).await;
        drop(client);
        while !transcript.normal().to_string().contains("🐈🐈 ") {
            transcript.apply(&again.next().await);
        }
        client = again;
        hold.add_permits(1);
        while !transcript.ended() {
            transcript.apply(&client.next().await);
        }
        assert_eq!(transcript.normal(), expected, "cut after {cut} frames");
    }
    assert!(cut >= 15, "only {cut} cuts");
}

#[tokio::test]
async fn a_thread_is_resumed_from_its_beginning_in_pages() {
    let house = House::new(|turn: &Turn| match turn.round() {
        // Some three hundred events: more than one page.
        0..20 => Reply::Stream((0..7).map(|number| call("look", &format!("{}-{number}", turn.round()))).collect()),
        _ => Reply::text("enough"),
    })
    .await;
    let (whole, _) = begin(&house, 0, usize::MAX, ends_run).await;
    let known = transcript(&whole);
    assert!(known.last > 160, "{}", known.last);
    let mut anew = Transcript::default();
    resumed(&house, &mut anew, &whole[0]["threadId"]).await;
    assert_eq!(anew.normal(), known.normal());
}

#[tokio::test]
async fn a_socket_that_comes_into_an_answer_is_told_it_from_its_beginning() {
    let hold = Arc::new(Semaphore::new(0));
    let house = House::new(script(Some(Arc::clone(&hold)))).await;
    let held = |frame: &Value| is(frame, "TEXT_MESSAGE_CONTENT") && frame["event"]["delta"] == "🐈🐈 ";
    let (before, _) = begin(&house, 0, usize::MAX, held).await;
    let mut late = house.owner().await;
    assert_eq!(late.arrived().await, [] as [Value; 0]);
    hold.add_permits(1);
    let frames = late.until(ends_run).await;
    let texts: Vec<&str> = frames.iter().filter_map(|frame| frame["event"]["delta"].as_str()).collect();
    assert_eq!(texts.concat(), "It is 🐈🐈 so.");
    assert_eq!(frames[0]["event"]["type"], "TEXT_MESSAGE_START");
    assert_eq!(frames[0]["threadId"], before[0]["threadId"]);
}

#[tokio::test]
async fn a_hidden_thread_is_carried_only_to_who_names_it() {
    use adjutant_core::ids::RunId;
    use adjutant_core::message::{Part, Role};
    use adjutant_core::scope::{Origin, ProfileName, Role as KeyRole, Scope, UserId};
    use adjutant_engine::runs::submission::{Draft, RunRequest, Submission, Target};

    let house = House::new(|_| Reply::text("yes")).await;
    let (user, profile) = (UserId::parse("owner").unwrap(), ProfileName::parse("personal").unwrap());
    let scope = Scope::new(user, profile, KeyRole::Personal, Origin::OpenAi);
    let submission = |thread| Submission {
        run_id: RunId::new(),
        thread,
        parent: None,
        messages: vec![Draft { role: Role::User, parts: vec![Part::text("well?")] }],
        client_message_id: None,
        request: RunRequest::default(),
    };
    let mut unaware = house.owner().await;
    let engine = house.server.app.engine();
    let accepted = engine.submit(&scope, submission(Target::New(Kind::Hidden))).await.unwrap();
    let mut aware = house.owner().await;
    aware.resume(&accepted.thread_id.to_string(), 0).await;
    aware.until(ends_run).await;
    engine.submit(&scope, submission(Target::Existing(accepted.thread_id))).await.unwrap();
    let frames = aware.until(ends_run).await;
    assert!(frames.iter().all(|frame| frame["threadId"] == accepted.thread_id.to_string()));
    assert!(
        frames.iter().any(|frame| is(frame, "RUN_STARTED"))
            && !frames.iter().any(|frame| is_custom(frame, "run.state"))
    );
    assert_eq!(unaware.arrived().await, [] as [Value; 0]);
}
