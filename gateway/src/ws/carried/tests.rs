use std::sync::Arc;

use adjutant_core::message::{Made, Message, Part};
use adjutant_core::model::Usage;
use adjutant_engine::events::event::FinishedOutcome;
use chrono::DateTime;
use serde_json::Value;

use super::*;

/// One thread with one run, and a socket that carries it.
struct Bench {
    thread: ThreadId,
    run: RunId,
    answer: MessageId,
    carried: Carried,
}

impl Bench {
    fn new() -> Self {
        let carried = Carried::default();
        Self { thread: ThreadId::new(), run: RunId::new(), answer: MessageId::new(), carried }
    }

    fn delta(&self, attempt: u64, offset: usize, text: &str) -> Delta {
        Delta { thread: self.thread, run: self.run, message: self.answer, attempt, offset, text: text.into() }
    }

    fn piece(&mut self, attempt: u64, offset: usize, text: &str) -> Vec<String> {
        self.piece_of(attempt, offset, text, None)
    }

    fn piece_of(&mut self, attempt: u64, offset: usize, text: &str, so_far: Option<&str>) -> Vec<String> {
        let delta = self.delta(attempt, offset, text);
        let so_far = so_far.map(|text| self.delta(attempt, 0, text));
        let mut out = Vec::new();
        self.carried.piece(&delta, |_| so_far, &mut out);
        shown(&out)
    }

    fn answer(&self, seq: i64, text: &str) -> Event {
        let message = Message {
            id: self.answer,
            thread_id: self.thread,
            parent_id: None,
            run_id: Some(self.run),
            role: Role::Assistant,
            parts: vec![Part::text(text)],
            client_message_id: None,
            seq,
            created_at: DateTime::UNIX_EPOCH,
            partial: false,
            made: Made::default(),
        };
        Event { seq, run_id: Some(self.run), body: EventBody::Answer, messages: vec![Arc::new(message)] }
    }

    fn finished(&self, seq: i64) -> Event {
        let outcome = FinishedOutcome::Success;
        let body = EventBody::RunFinished { outcome, model: None, usage: Usage::default() };
        Event { seq, run_id: Some(self.run), body, messages: Vec::new() }
    }

    fn live(&mut self, event: &Event) -> (Took, Vec<String>) {
        let mut out = Vec::new();
        let took = self.carried.live(self.thread, event, &mut out);
        (took, shown(&out))
    }

    fn stored(&mut self, event: &Event) -> Vec<String> {
        let mut out = Vec::new();
        self.carried.stored(self.thread, event, &mut out);
        shown(&out)
    }

    fn replay_ended(&mut self, writing: Option<&Delta>) -> Vec<String> {
        let mut out = Vec::new();
        self.carried.replay_ended(self.thread, writing, &mut out);
        shown(&out)
    }
}

#[test]
fn what_is_thought_is_sent_before_the_text_and_ends_when_that_begins() {
    let mut bench = Bench::new();
    let thought = |bench: &mut Bench, offset, text: &str, so_far: Option<&str>| {
        let delta = bench.delta(1, offset, text);
        let so_far = so_far.map(|text| bench.delta(1, 0, text));
        let mut out = Vec::new();
        bench.carried.thought(&delta, |_| so_far, &mut out);
        shown(&out)
    };
    assert_eq!(
        thought(&mut bench, 0, "Hm", None),
        ["REASONING_START", "REASONING_MESSAGE_START", "REASONING_MESSAGE_CONTENT"]
    );
    assert_eq!(thought(&mut bench, 2, ".", None), ["REASONING_MESSAGE_CONTENT"]);
    assert_eq!(bench.piece(1, 0, "Yes"), ["REASONING_MESSAGE_END", "REASONING_END", "START", "0 Yes"]);
    assert_eq!(thought(&mut bench, 3, "later", None), [""; 0], "what comes behind the text waits for the commit");

    // A later attempt begins both anew; one whose beginning was missed is told from its beginning.
    let mut bench = Bench::new();
    let whole = ["REASONING_START", "REASONING_MESSAGE_START", "REASONING_MESSAGE_CONTENT"];
    assert_eq!(thought(&mut bench, 5, "more", Some("Well, more")), whole);
    let ended = bench.finished(1);
    assert_eq!(bench.live(&ended).1, ["REASONING_MESSAGE_END", "REASONING_END", "RUN_FINISHED #1"]);
    assert_eq!(thought(&mut bench, 0, "late", None), [""; 0]);
}

/// `START`, `0 text`, `END #2`.
fn shown(frames: &[String]) -> Vec<String> {
    let short = |frame: &String| {
        let frame: Value = serde_json::from_str(frame).unwrap();
        let kind = frame["event"]["type"].as_str().unwrap();
        let what = match kind {
            "TEXT_MESSAGE_CONTENT" => format!("{} {}", frame["offset"], frame["event"]["delta"].as_str().unwrap()),
            other => other.trim_start_matches("TEXT_MESSAGE_").to_owned(),
        };
        frame["seq"].as_i64().map_or(what.clone(), |seq| format!("{what} #{seq}"))
    };
    frames.iter().map(short).collect()
}

const NOTHING: [&str; 0] = [];

#[test]
fn what_was_sent_while_it_was_written_is_not_sent_again() {
    let mut bench = Bench::new();
    assert_eq!(bench.piece(0, 0, "Grüß "), ["START", "0 Grüß "]);
    assert_eq!(bench.piece(0, 5, "🐈"), ["5 🐈"]);
    assert_eq!(bench.piece(0, 7, "!"), ["7 !"]);
    assert_eq!(bench.live(&bench.answer(2, "Grüß 🐈!")), (Took::Carried, vec!["END #2".to_owned()]));
    assert_eq!(bench.piece(0, 8, "late"), NOTHING);
}

#[test]
fn an_answer_that_is_not_what_was_sent_is_sent_whole() {
    let mut bench = Bench::new();
    bench.piece(0, 0, "abc");
    assert_eq!(bench.live(&bench.answer(2, "abd")).1, ["START", "0 abd", "END #2"]);
    let mut bench = Bench::new();
    bench.piece(0, 0, "abc");
    assert_eq!(bench.live(&bench.answer(2, "abcd")).1, ["START", "0 abcd", "END #2"]);
}

#[test]
fn a_second_attempt_begins_the_answer_anew() {
    let mut bench = Bench::new();
    bench.piece(0, 0, "abc");
    assert_eq!(bench.piece(1, 0, "xy"), ["START", "0 xy"]);
    assert_eq!(bench.piece(1, 2, "z"), ["2 z"]);
    assert_eq!(bench.live(&bench.answer(2, "xyz")).1, ["END #2"]);
}

#[test]
fn whoever_comes_late_is_told_the_answer_from_its_beginning_or_not_before_its_end() {
    let mut bench = Bench::new();
    assert_eq!(bench.piece_of(0, 3, "def", Some("abcdef")), ["START", "0 abcdef"]);
    assert_eq!(bench.piece(0, 6, "g"), ["6 g"]);
    let mut bench = Bench::new();
    assert_eq!(bench.piece_of(0, 3, "def", None), NOTHING);
    assert_eq!(bench.piece(0, 6, "g"), NOTHING);
    assert_eq!(bench.live(&bench.answer(2, "abcdefg")).1, ["START", "0 abcdefg", "END #2"]);
}

#[test]
fn after_a_replay_the_answer_goes_on_where_it_was_snapped() {
    let mut bench = Bench::new();
    bench.carried.replay(bench.thread, 0);
    assert_eq!(bench.live(&bench.finished(1)).1, NOTHING, "it is in the store");
    assert_eq!(bench.piece(0, 0, "ab"), NOTHING, "it is in what was written so far");
    let writing = bench.delta(0, 0, "abc🐈");
    assert_eq!(bench.replay_ended(Some(&writing)), ["START", "0 abc🐈"]);
    assert_eq!(bench.piece(0, 2, "c"), NOTHING);
    assert_eq!(bench.piece(0, 3, "🐈de"), ["5 de"]);
    assert_eq!(bench.live(&bench.answer(1, "abc🐈de")).1, ["END #1"]);
}

#[test]
fn what_was_being_written_is_void_when_the_store_has_it_already() {
    let mut bench = Bench::new();
    bench.carried.replay(bench.thread, 4);
    let writing = bench.delta(0, 0, "ab");
    assert_eq!(bench.stored(&bench.answer(5, "abc")), ["START", "0 abc", "END #5"]);
    assert_eq!(bench.replay_ended(Some(&writing)), NOTHING);
    assert_eq!(bench.live(&bench.answer(5, "abc")), (Took::Carried, vec![]));
    assert_eq!(bench.live(&bench.finished(6)).1, ["RUN_FINISHED #6"]);
}

#[test]
fn an_answer_that_was_committed_and_not_yet_published_is_ended_without_its_number() {
    let mut bench = Bench::new();
    bench.carried.replay(bench.thread, 5);
    let writing = bench.delta(0, 0, "abc");
    assert_eq!(bench.replay_ended(Some(&writing)), ["START", "0 abc"]);
    assert_eq!(bench.live(&bench.answer(5, "abc")).1, ["END"]);
    assert_eq!(bench.live(&bench.finished(6)).1, ["RUN_FINISHED #6"]);
}

#[test]
fn a_gap_is_read_from_the_store() {
    let mut bench = Bench::new();
    assert_eq!(bench.live(&bench.finished(7)).1, ["RUN_FINISHED #7"], "a thread begins with what is seen first");
    assert_eq!(bench.live(&bench.finished(9)), (Took::Gap, vec![]));
    assert_eq!(bench.live(&bench.finished(10)), (Took::Carried, vec![]));
    assert_eq!(bench.carried.replayed(bench.thread), Some(7));
    for seq in 8..=10 {
        assert_eq!(bench.stored(&bench.finished(seq)), [format!("RUN_FINISHED #{seq}")]);
    }
    assert_eq!(bench.replay_ended(None), NOTHING);
    assert_eq!(bench.live(&bench.finished(10)).1, NOTHING);
    assert_eq!(bench.live(&bench.finished(11)).1, ["RUN_FINISHED #11"]);
}
