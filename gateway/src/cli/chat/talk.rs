//! The conversation with the server and the person: what came is shown, what was typed is sent, and a lost connection is
//! opened again without losing either.

use std::collections::VecDeque;
use std::process::ExitCode;

use adjutant_core::ids::MessageId;
use serde_json::{Value, json};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc;

use super::command::ChatArgs;
use super::connection::{Connection, Server};
use super::conversation::{Approval, Conversation, Show, said};
use super::input;
use super::rest::Rest;
use super::screen::Screen;
use crate::cli::plain::exact;

/// Ended by Ctrl-C, as shells have it.
pub(super) const INTERRUPTED: u8 = 130;

pub(super) struct Talk {
    pub(super) server: Server,
    rest: Rest,
    pub(super) connection: Connection,
    pub(super) screen: Screen,
    pub(super) conversation: Conversation,
    input: mpsc::Receiver<String>,
    pub(super) interrupts: Signal,
    json: bool,
    /// Messages without an ack, oldest first; sent again after a lost connection.
    pub(super) unacked: VecDeque<Unacked>,
    /// The first waits for an answer.
    questions: VecDeque<Question>,
    /// The run of the one message of a pipe.
    awaited: Option<String>,
    /// A cancel was asked for; the next Ctrl-C leaves.
    cancelling: bool,
}

pub(super) struct Unacked {
    id: String,
    pub(super) frame: Value,
    /// It was sent on a connection before this one, too.
    pub(super) again: bool,
}

enum Question {
    Approval(Approval),
    Quarantined { run: String },
}

impl Question {
    fn run(&self) -> &str {
        match self {
            Self::Approval(approval) => &approval.run,
            Self::Quarantined { run } => run,
        }
    }
}

/// The conversation is over.
pub(super) struct Over(pub(super) u8);

impl Talk {
    /// Connects, and finds the thread to go on in.
    pub(super) async fn begin(server: Server, mut screen: Screen, args: &ChatArgs) -> Result<Self, ExitCode> {
        let failed = |screen: &mut Screen, sentence: &str| {
            screen.fault(sentence);
            ExitCode::FAILURE
        };
        let connection = match Connection::open(&server).await {
            Ok(connection) => connection,
            Err(lost) => return Err(failed(&mut screen, &lost.sentence)),
        };
        let rest = match Rest::new(server.clone()) {
            Ok(rest) => rest,
            Err(sentence) => return Err(failed(&mut screen, &sentence)),
        };
        let interrupts = match signal(SignalKind::interrupt()) {
            Ok(interrupts) => interrupts,
            Err(error) => return Err(failed(&mut screen, &format!("Ctrl-C cannot be heard: {error}"))),
        };
        let mut talk = Self {
            server,
            rest,
            connection,
            conversation: if screen.interactive { Conversation::default() } else { Conversation::mine_only() },
            screen,
            input: input::messages(),
            interrupts,
            json: args.json,
            unacked: VecDeque::new(),
            questions: VecDeque::new(),
            awaited: None,
            cancelling: false,
        };
        let thread = match &args.thread {
            Some(thread) => Some(thread.to_string()),
            // Whoever has no thread yet begins one.
            None if talk.screen.interactive && !args.new => talk.rest.newest_thread().await.unwrap_or_default(),
            None => None,
        };
        if let Some(thread) = thread
            && let Err(sentence) = talk.go_on_in(thread).await
        {
            return Err(failed(&mut talk.screen, &sentence));
        }
        Ok(talk)
    }

    /// Shows what was said before the newest message of the person; from there on the server tells it again.
    async fn go_on_in(&mut self, thread: String) -> Result<(), String> {
        let messages = self.rest.messages(&thread).await?;
        let seq = |message: &Value| message["seq"].as_i64().unwrap_or_default();
        let newest = messages.iter().rposition(|message| message["role"] == "user");
        let from = newest.or(messages.len().checked_sub(1)).map_or(0, |index| seq(&messages[index]) - 1);
        if self.screen.interactive {
            self.screen.note(&format!("thread {thread}; --new begins another"));
            for message in messages.iter().filter(|message| seq(message) <= from) {
                match message["role"].as_str() {
                    Some("user") => self.screen.note(&format!("> {}", said(&message["content"]))),
                    Some("assistant") => {
                        self.screen.answer(&said(&message["content"]));
                        self.screen.end_line();
                    }
                    _ => {}
                }
            }
        }
        self.conversation.last = from.max(0);
        self.conversation.thread = Some(thread);
        self.resume().await.map_err(|lost| lost.sentence)
    }

    pub(super) async fn run(mut self) -> ExitCode {
        self.invite();
        let Over(code) = loop {
            if let Err(over) = self.turn().await {
                break over;
            }
        };
        self.screen.end_line();
        self.connection.close().await;
        ExitCode::from(code)
    }

    async fn turn(&mut self) -> Result<(), Over> {
        let may_type = self.screen.interactive || (self.awaited.is_none() && self.unacked.is_empty());
        tokio::select! {
            frame = self.connection.receive() => match frame {
                Ok(text) => self.show(&text).await,
                Err(lost) => self.reconnect(lost).await,
            },
            line = self.input.recv(), if may_type => match line {
                Some(line) => self.typed(line).await,
                None => Err(Over(0)),
            },
            _ = self.interrupts.recv() => self.interrupted().await,
        }
    }

    async fn show(&mut self, text: &str) -> Result<(), Over> {
        self.screen.frame(text);
        let Ok(frame) = serde_json::from_str::<Value>(text) else { return Ok(()) };
        for show in self.conversation.apply(&frame) {
            self.show_one(show).await?;
        }
        if self.screen.closed { Err(Over(0)) } else { Ok(()) }
    }

    async fn show_one(&mut self, show: Show) -> Result<(), Over> {
        match show {
            Show::Text(text) => self.screen.answer(&text),
            Show::EndOfText { partial } => {
                self.screen.end_line();
                if partial {
                    self.screen.note("(cut off)");
                }
            }
            Show::Said(text) => self.beside(&format!("> {text}")),
            Show::Call { name, arguments } => self.beside(&format!("→ {name} {arguments}")),
            Show::Result { name, outcome, text } => self.beside(&format!("← {name} {outcome}: {text}")),
            Show::Ask(approval) => {
                if !self.screen.interactive && !self.json {
                    let thread = self.conversation.thread.as_deref().unwrap_or_default();
                    let sentence =
                        format!("{} waits for consent; decide with: adjutant chat --thread {thread}", approval.name);
                    return self.give_up(&sentence);
                }
                self.questions.push_back(Question::Approval(approval));
                self.invite();
            }
            Show::Decided { approval, decision } => {
                let asked = |question: &Question| matches!(question, Question::Approval(asked) if asked.id == approval);
                if self.questions.iter().any(asked) {
                    self.questions.retain(|question| !asked(question));
                    self.screen.note(&format!("decided elsewhere: {decision}"));
                    self.invite();
                }
            }
            Show::State { run, state, reason } => return self.state(run, &state, reason.as_deref()),
            Show::Finished { run, cancelled } => {
                if cancelled {
                    self.screen.note("(cancelled)");
                }
                return self.ended(&run, if cancelled { INTERRUPTED } else { 0 });
            }
            Show::Failed { run, code, message } => {
                self.screen.fault(&format!("{message} ({code})"));
                return self.ended(&run, 1);
            }
            Show::Acked { client_message_id, run, seq } => return self.acked(&client_message_id, run, seq).await,
            Show::Refused { client_message_id, message } => {
                self.screen.fault(&message);
                let unacked = self.unacked.len();
                self.unacked.retain(|message| Some(&message.id) != client_message_id.as_ref());
                if !self.screen.interactive && (self.unacked.len() < unacked || client_message_id.is_none()) {
                    return Err(Over(1));
                }
                self.invite();
            }
        }
        Ok(())
    }

    /// What a pipe does not want to see.
    pub(super) fn beside(&mut self, text: &str) {
        if self.screen.interactive {
            self.screen.note(text);
        }
    }

    fn state(&mut self, run: String, state: &str, reason: Option<&str>) -> Result<(), Over> {
        match state {
            "queued" => self.beside("(queued: it is answered after the message before it)"),
            "quarantined" => {
                let reason = reason.unwrap_or("the run is quarantined");
                if !self.screen.interactive && !self.json {
                    let thread = self.conversation.thread.as_deref().unwrap_or_default();
                    let sentence = format!("{reason}; try again or discard it with: adjutant chat --thread {thread}");
                    return self.give_up(&sentence);
                }
                self.screen.fault(reason);
                // Before what the run itself asks.
                self.questions.push_front(Question::Quarantined { run });
                self.invite();
            }
            _ => {}
        }
        Ok(())
    }

    pub(super) fn give_up(&mut self, sentence: &str) -> Result<(), Over> {
        self.screen.fault(sentence);
        Err(Over(1))
    }

    fn ended(&mut self, run: &str, code: u8) -> Result<(), Over> {
        self.questions.retain(|question| question.run() != run);
        self.cancelling = false;
        if self.awaited.as_deref() == Some(run) {
            return Err(Over(code));
        }
        self.invite();
        Ok(())
    }

    async fn acked(&mut self, client_message_id: &str, run: String, seq: i64) -> Result<(), Over> {
        let again = self.unacked.iter().any(|message| message.id == client_message_id && message.again);
        self.unacked.retain(|message| message.id != client_message_id);
        if !self.screen.interactive {
            self.awaited = Some(run);
        }
        // What happened since the message was sent first, nobody told this connection.
        if again && self.conversation.last < seq {
            self.conversation.last = seq - 1;
            if let Err(lost) = self.resume().await {
                return self.reconnect(lost).await;
            }
        }
        Ok(())
    }

    async fn typed(&mut self, line: String) -> Result<(), Over> {
        self.screen.entered();
        let answer = line.trim();
        if !self.screen.interactive {
            if answer.is_empty() {
                return self.give_up("there is no message on standard input");
            }
            return self.submit(line).await;
        }
        if let Some(question) = self.questions.pop_front() {
            return self.answered(question, answer).await;
        }
        match answer {
            "" => {
                self.invite();
                Ok(())
            }
            "/quit" => Err(Over(0)),
            _ => self.submit(line).await,
        }
    }

    async fn submit(&mut self, content: String) -> Result<(), Over> {
        let id = MessageId::new().to_string();
        let mut frame = json!({"type": "run.submit", "clientMessageId": id, "content": content});
        if let Some(thread) = &self.conversation.thread {
            frame["threadId"] = json!(thread);
        }
        self.conversation.sent.insert(id.clone());
        self.unacked.push_back(Unacked { id, frame: frame.clone(), again: false });
        self.send(&frame).await
    }

    async fn answered(&mut self, question: Question, answer: &str) -> Result<(), Over> {
        match (&question, answer.to_lowercase().as_str()) {
            (Question::Approval(approval), "y" | "a" | "n") => {
                let decision = match answer.to_lowercase().as_str() {
                    "y" => "once",
                    "a" => "always",
                    _ => "deny",
                };
                let frame = json!({"type": "approval.decide", "approvalId": approval.id, "decision": decision});
                self.invite();
                self.send(&frame).await
            }
            (Question::Quarantined { run }, letter @ ("r" | "d")) => {
                let verb = if letter == "r" { "retry" } else { "discard" };
                if let Err(sentence) = self.rest.decide_run(run, verb).await {
                    self.screen.fault(&sentence);
                }
                self.invite();
                Ok(())
            }
            (Question::Quarantined { .. }, "") => {
                self.invite();
                Ok(())
            }
            _ => {
                self.questions.push_front(question);
                self.invite();
                Ok(())
            }
        }
    }

    /// Cancels what is going on; the second time, or when nothing is, leaves.
    async fn interrupted(&mut self) -> Result<(), Over> {
        let run = self.awaited.clone().or_else(|| self.conversation.going.first().cloned());
        match run {
            Some(run) if !self.cancelling => {
                self.cancelling = true;
                self.screen.note("cancelling; Ctrl-C again leaves");
                self.send(&json!({"type": "run.cancel", "runId": run})).await
            }
            _ => Err(Over(INTERRUPTED)),
        }
    }

    /// Asks what waits for an answer, or for the next message.
    pub(super) fn invite(&mut self) {
        match self.questions.front() {
            Some(Question::Approval(approval)) => {
                let (name, server) = (exact(&approval.name), exact(&approval.server));
                let (risk, arguments) = (exact(&approval.risk), exact(&approval.arguments.to_string()));
                let question =
                    format!("Run {name} of {server} ({risk}) with {arguments}?\ny = once, a = always, n = no:");
                self.screen.ask(&question);
            }
            Some(Question::Quarantined { .. }) => self.screen.ask("r = try again, d = discard, Enter = leave it:"),
            None if self.conversation.going.is_empty() && self.unacked.is_empty() => self.screen.prompt(),
            None => {}
        }
    }
}
