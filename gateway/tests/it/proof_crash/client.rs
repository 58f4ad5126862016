//! A person's client: sends a message, answers what its run asks, and sees it to its end through every crash.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use futures::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::time::Instant;
use tokio_tungstenite::tungstenite::Message;

use super::aim::{Moment, Random};
use super::arena::{Arena, KEY, PATIENCE};
use super::referee::{Ack, Decision};

/// How long a run may be silent while the server lives. The planted twin tells of events that nobody can read yet, so that
/// a client which resumes in that moment misses them.
const DEAF: Duration = if cfg!(feature = "fault-early-ack") { Duration::from_secs(3) } else { PATIENCE };

type Socket = tokio_tungstenite::WebSocketStream<tokio_tungstenite::MaybeTlsStream<tokio::net::TcpStream>>;

pub(super) struct Client {
    pub(super) arena: Arc<Arena>,
    pub(super) random: Random,
    /// How often a quarantined run was tried again.
    retried: HashMap<String, u32>,
}

/// A message, or a request for a further answer, on its way.
struct Errand {
    id: String,
    frame: Value,
    /// What its acknowledgement is to the kills.
    moment: Moment,
    ack: Option<Ack>,
    /// The last number seen of its thread.
    seen: i64,
}

/// What a run has come to.
#[derive(PartialEq, Eq)]
enum Seen {
    Going,
    Ended,
    Lost,
}

/// How listening ended.
enum Heard {
    End,
    Refused,
    /// The connection is gone.
    Cut,
}

impl Client {
    pub(super) fn new(arena: Arc<Arena>, random: Random) -> Self {
        Self { arena, random, retried: HashMap::new() }
    }

    fn fault(&self, fault: String) {
        self.arena.referee.fault(fault);
    }

    /// Until the run of this frame has ended, over as many connections as it takes. `None`: it was refused, which is noted.
    pub(super) async fn converse(&mut self, frame: Value, moment: Moment) -> Option<Ack> {
        let id = frame["clientMessageId"].as_str().unwrap().to_owned();
        let mut errand = Errand { id, frame, moment, ack: None, seen: 0 };
        if self.random.one_in(3) {
            let ack = self.send(&errand).await?;
            self.take(&mut errand, ack);
        }
        loop {
            let Some(mut socket) = self.connect().await else { continue };
            let hello = if errand.ack.is_some() { errand.resume() } else { errand.frame.clone() };
            if socket.send(Message::text(hello.to_string())).await.is_err() {
                continue;
            }
            // What was asked of the server just before a crash may not have reached it: events that were
            // seen are not sent again, so the run itself says what it still waits for.
            if let Some(run) = errand.ack.as_ref().map(|ack| ack.run.clone()) {
                match self.look(&mut socket, &run).await {
                    Some(Seen::Ended) => break,
                    // What comes of it later, if anything, is nobody's: the thread is left alone.
                    Some(Seen::Lost) => return None,
                    Some(Seen::Going) => {}
                    None => continue,
                }
            }
            match self.listen(&mut socket, &mut errand).await {
                Heard::End => break,
                Heard::Refused => return None,
                Heard::Cut => {}
            }
        }
        // The same once more is the same: the referee compares.
        if self.random.one_in(3) {
            let again = self.send(&errand).await?;
            self.arena.referee.note(&errand.id, &again);
        }
        errand.ack
    }

    /// Over REST, as often as it takes.
    async fn send(&self, errand: &Errand) -> Option<Ack> {
        let path = match errand.frame["type"].as_str() {
            Some("run.retry") => format!("/api/threads/{}/retry", errand.frame["threadId"].as_str().unwrap()),
            _ => "/api/messages".to_owned(),
        };
        let answer = self.arena.call("POST", &path, Some(&errand.frame)).await;
        let ack = Ack::of(&answer.body).filter(|_| answer.status == 202);
        if ack.is_none() {
            self.fault(format!("{} was refused: {answer:?}", errand.id));
        }
        ack
    }

    /// The message is acknowledged.
    fn take(&self, errand: &mut Errand, ack: Ack) {
        self.arena.see(errand.moment);
        self.arena.referee.note(&errand.id, &ack);
        errand.seen = ack.seq - 1;
        errand.ack = Some(ack);
    }

    async fn connect(&self) -> Option<Socket> {
        self.arena.up().await;
        let url = format!("ws://127.0.0.1:{}/ws?api_key={KEY}", self.arena.port);
        tokio_tungstenite::connect_async(url).await.ok().map(|(socket, _)| socket)
    }

    /// What the run has come to; answers what it waits for. `None` when the server is gone again.
    async fn look(&mut self, socket: &mut Socket, run: &str) -> Option<Seen> {
        let answer = self.arena.try_call("GET", &format!("/api/runs/{run}"), None).await?;
        if answer.status == 404 {
            self.fault(format!("the acknowledged run {run} is lost"));
            return Some(Seen::Lost);
        }
        let view = answer.body;
        for step in view["steps"].as_array().into_iter().flatten() {
            let (approval, key) = (&step["approval"], step["arguments"]["key"].as_str().unwrap_or_default());
            let Some(id) = approval["id"].as_str() else { continue };
            if let Some(decision) = approval["decision"].as_str() {
                self.arena.referee.asked(id, key);
                self.arena.referee.decide(id, decision);
            } else if approval["state"] == "pending"
                && let Some(decision) = self.arena.referee.waits(id, key)
            {
                self.decide(socket, id, decision).await;
            }
        }
        match view["state"].as_str().unwrap_or_default() {
            "succeeded" | "failed" | "cancelled" | "discarded" => return Some(Seen::Ended),
            "quarantined" => self.dissolve(run).await,
            _ => {}
        }
        Some(Seen::Going)
    }

    /// Tries a quarantined run again once, then gives it up.
    async fn dissolve(&mut self, run: &str) {
        let tries = self.retried.entry(run.to_owned()).or_default();
        *tries += 1;
        let verb = if *tries == 1 { "retry" } else { "discard" };
        // Unanswered or too late: the next look tells.
        self.arena.try_call("POST", &format!("/api/runs/{run}/{verb}"), None).await;
    }

    /// Says it over one of the two doors. The socket's answer is an event.
    async fn decide(&mut self, socket: &mut Socket, approval: &str, decision: Decision) {
        let said = decision.as_str();
        if self.random.one_in(2) {
            let frame = json!({"type": "approval.decide", "approvalId": approval, "decision": said});
            let _ = socket.send(Message::text(frame.to_string())).await;
            return;
        }
        let path = format!("/api/approvals/{approval}");
        let Some(answer) = self.arena.try_call("POST", &path, Some(&json!({"decision": said}))).await else { return };
        match answer.status {
            200 => self.decided(approval, answer.body["decision"].as_str().unwrap_or_default()),
            // An earlier attempt arrived, and its answer did not.
            409 => {}
            _ => self.fault(format!("the decision about {approval} was refused: {answer:?}")),
        }
    }

    fn decided(&self, approval: &str, said: &str) {
        if self.arena.referee.decide(approval, said) {
            self.arena.see(Moment::Decision);
        }
    }

    async fn listen(&mut self, socket: &mut Socket, errand: &mut Errand) -> Heard {
        let mut heard = Instant::now();
        loop {
            let frame = match tokio::time::timeout_at(heard + DEAF, socket.next()).await {
                Ok(Some(Ok(Message::Text(text)))) => serde_json::from_str::<Value>(&text).unwrap(),
                Ok(Some(Ok(Message::Close(_)) | Err(_)) | None) => return Heard::Cut,
                Ok(Some(Ok(_))) => continue,
                Err(_) => {
                    self.fault(format!("nothing is heard of {}: {:?}", errand.id, errand.ack));
                    return Heard::Cut;
                }
            };
            let is_known = errand.ack.is_some();
            let is_mine = errand.ack.as_ref().is_some_and(|ack| frame["runId"] == *ack.run);
            if is_mine || frame["clientMessageId"] == *errand.id {
                heard = Instant::now();
                self.arena.see(Moment::Anything);
            }
            match frame["type"].as_str().unwrap_or_default() {
                "ack" if frame["clientMessageId"] == *errand.id => {
                    self.take(errand, Ack::of(&frame).unwrap());
                    if socket.send(Message::text(errand.resume().to_string())).await.is_err() {
                        return Heard::Cut;
                    }
                }
                "event" => {
                    let is_next = errand.follows(&frame) && is_mine;
                    if is_next && self.react(socket, &frame).await {
                        return Heard::End;
                    }
                }
                // Two connections may answer the same question.
                "error" if frame["code"] == "already_decided" => {}
                "error" if frame["code"] == "not_found" && is_known => {
                    self.fault(format!("the acknowledged message {} is lost: {frame}", errand.id));
                    return Heard::Refused;
                }
                "error" => {
                    self.fault(format!("{}: {frame}", errand.id));
                    return Heard::Refused;
                }
                _ => {}
            }
        }
    }

    /// Answers what the run asks; true when it has ended.
    async fn react(&mut self, socket: &mut Socket, frame: &Value) -> bool {
        let (event, run) = (&frame["event"], frame["runId"].as_str().unwrap_or_default());
        let (name, value) = (event["name"].as_str().unwrap_or_default(), &event["value"]);
        let approval = value["approvalId"].as_str().unwrap_or_default();
        match (event["type"].as_str().unwrap_or_default(), name) {
            ("RUN_FINISHED" | "RUN_ERROR", _) => return true,
            ("CUSTOM", "approval.requested") => {
                let key = value["arguments"]["key"].as_str().unwrap_or_default();
                if let Some(decision) = self.arena.referee.asked(approval, key) {
                    self.decide(socket, approval, decision).await;
                }
            }
            ("CUSTOM", "approval.decided") => self.decided(approval, value["decision"].as_str().unwrap_or_default()),
            ("CUSTOM", "run.state") if value["state"] == "quarantined" => self.dissolve(run).await,
            // It may wait for a question that was put before a crash and is not put again.
            ("CUSTOM", "run.state") if value["state"] == "waiting" => {
                return self.look(socket, run).await == Some(Seen::Ended);
            }
            _ => {}
        }
        false
    }
}

impl Errand {
    fn resume(&self) -> Value {
        let thread = self.ack.as_ref().map(|ack| ack.thread.as_str()).unwrap_or_default();
        json!({"type": "resume", "threads": {thread: self.seen}})
    }

    /// Whether the frame of its thread is the next one: what is ahead of the replay comes again with it.
    fn follows(&mut self, frame: &Value) -> bool {
        let is_its = self.ack.as_ref().is_some_and(|ack| frame["threadId"] == *ack.thread);
        match frame["seq"].as_i64() {
            Some(seq) if is_its && seq == self.seen + 1 => self.seen = seq,
            Some(_) => return false,
            None => {}
        }
        is_its
    }
}
