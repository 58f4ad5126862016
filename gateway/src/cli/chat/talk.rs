//! The conversation with the server and the person: what came is shown, what was typed is sent, and a lost connection is
//! opened again without losing either.

use std::collections::VecDeque;
use std::process::ExitCode;

use adjutant_core::ids::MessageId;
use serde_json::{Value, json};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc;

use super::asking::Question;
use super::command::{ChatArgs, Which};
use super::connection::{Connection, Server};
use super::conversation::{Conversation, Show, said};
use super::files::{Attached, Local};
use super::form::Form;
use super::input;
use super::orders::Order;
use super::rest::Rest;
use super::screen::Screen;

/// Ended by Ctrl-C, as shells have it.
pub(super) const INTERRUPTED: u8 = 130;

pub(super) struct Talk {
    pub(super) server: Server,
    pub(super) rest: Rest,
    pub(super) connection: Connection,
    pub(super) screen: Screen,
    pub(super) conversation: Conversation,
    input: mpsc::Receiver<String>,
    pub(super) interrupts: Signal,
    json: bool,
    /// Messages without an ack, oldest first; sent again after a lost connection.
    pub(super) unacked: VecDeque<Unacked>,
    /// The first waits for an answer.
    pub(super) questions: VecDeque<Question>,
    /// The threads of the list that was shown last.
    pub(super) listed: Vec<String>,
    /// Go with the next message.
    pub(super) files: Vec<Attached>,
    /// The form that was filled in last; the server may refuse it.
    pub(super) answered: Option<Form>,
    /// The progress that was shown last.
    progress: String,
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

/// The conversation is over.
pub(super) struct Over(pub(super) u8);

impl Talk {
    /// Connects, and finds the thread to go on in.
    pub(super) async fn begin(
        server: Server,
        mut screen: Screen,
        args: &ChatArgs,
        given: Vec<Local>,
    ) -> Result<Self, ExitCode> {
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
        let mut files = Vec::new();
        for local in given {
            match local.upload(&rest).await {
                Ok(file) => files.push(file),
                Err(sentence) => return Err(failed(&mut screen, &sentence)),
            }
        }
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
            input: args.message.as_deref().map_or_else(input::messages, input::one),
            interrupts,
            json: args.json,
            unacked: VecDeque::new(),
            questions: VecDeque::new(),
            listed: Vec::new(),
            files,
            answered: None,
            progress: String::new(),
            awaited: None,
            cancelling: false,
        };
        let thread = match &args.thread {
            Some(Which::Thread(thread)) => Some(thread.to_string()),
            Some(Which::Last) => match talk.rest.newest_thread().await {
                Ok(Some(thread)) => Some(thread),
                Ok(None) => return Err(failed(&mut talk.screen, "there is no thread yet")),
                Err(sentence) => return Err(failed(&mut talk.screen, &sentence)),
            },
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
    pub(super) async fn go_on_in(&mut self, thread: String) -> Result<(), String> {
        let messages = self.rest.messages(&thread).await?;
        let seq = |message: &Value| message["seq"].as_i64().unwrap_or_default();
        let newest = messages.iter().rposition(|message| message["role"] == "user");
        let from = newest.or(messages.len().checked_sub(1)).map_or(0, |index| seq(&messages[index]) - 1);
        if self.screen.interactive {
            self.screen.note(&format!("thread {thread}; /new begins another, /help says what else there is"));
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
        self.conversation.newest = newest.and_then(|index| messages[index]["id"].as_str().map(str::to_owned));
        self.conversation.last = from.max(0);
        self.conversation.thread = Some(thread);
        self.resume().await.map_err(|lost| lost.sentence)
    }

    pub(super) async fn run(mut self) -> ExitCode {
        if !self.files.is_empty() && self.screen.interactive {
            self.screen.note("the files go with the next message");
        }
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
            Show::Thought(text) => self.screen.thought(&text),
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
            Show::Question(form) => {
                if !self.screen.interactive && !self.json {
                    let thread = self.conversation.thread.as_deref().unwrap_or_default();
                    return self
                        .give_up(&format!("a tool asks something; answer it with: adjutant chat --thread {thread}"));
                }
                // The same again after a lost connection.
                self.questions.retain(|question| !matches!(question, Question::Form(asked) if asked.id == form.id));
                self.screen.note("a tool asks something");
                self.questions.push_back(Question::Form(form));
                self.invite();
            }
            Show::Answered { question, action } => {
                let asked = |asked: &Question| matches!(asked, Question::Form(form) if form.id == question);
                if self.questions.iter().any(asked) {
                    self.questions.retain(|question| !asked(question));
                    self.screen.note(&format!("answered elsewhere, or not asked any more: {action}"));
                    self.invite();
                }
            }
            Show::Progress(progress) => {
                if progress != self.progress {
                    self.beside(&format!("… {progress}"));
                    self.progress = progress;
                }
            }
            Show::Decided { approval, decision } => {
                let asked = |question: &Question| matches!(question, Question::Approval(asked) if asked.id == approval);
                if self.questions.iter().any(asked) {
                    self.questions.retain(|question| !asked(question));
                    self.screen.note(&format!("decided elsewhere: {decision}"));
                    self.invite();
                }
            }
            Show::State { run, state, reason, joined } => {
                if let Some(joined) = joined.filter(|_| self.awaited.as_ref() == Some(&run)) {
                    self.awaited = Some(joined);
                }
                return self.state(run, &state, reason.as_deref());
            }
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
            Show::Refused { code, client_message_id, message } => {
                self.screen.fault(&message);
                // The question is still open.
                if let Some(mut form) = self.answered.take().filter(|_| code == "invalid_answer") {
                    form.begin_again();
                    self.questions.push_front(Question::Form(form));
                }
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
            "joined" => self.beside("(taken into the answer that is being written)"),
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
            if answer.is_empty() && self.files.is_empty() {
                return self.give_up("there is no message on standard input");
            }
            return self.submit(line, &json!({})).await;
        }
        if let Some(question) = self.questions.pop_front() {
            return self.answered(question, answer).await;
        }
        if answer.is_empty() {
            self.invite();
            return Ok(());
        }
        match Order::parse(&line) {
            Ok(order) => Box::pin(self.obey(order)).await,
            Err(sentence) => {
                self.screen.fault(&sentence);
                self.invite();
                Ok(())
            }
        }
    }

    /// Sends a message with the files that wait, and further fields of the frame.
    pub(super) async fn submit(&mut self, content: String, further: &Value) -> Result<(), Over> {
        let id = MessageId::new().to_string();
        let mut frame = json!({"type": "run.submit", "clientMessageId": id, "content": content});
        if !self.files.is_empty() {
            let files = self.files.drain(..).map(|file| json!({"type": "file", "fileId": file.id}));
            let text = (!content.trim().is_empty()).then(|| json!({"type": "text", "text": content}));
            frame["content"] = files.chain(text).collect();
        }
        if let Some(thread) = &self.conversation.thread {
            frame["threadId"] = json!(thread);
        }
        for (name, value) in further.as_object().into_iter().flatten() {
            frame[name] = value.clone();
        }
        self.acknowledge_later(id, &frame).await
    }

    /// Sends what is sent again, with the same id, until the server has it.
    pub(super) async fn acknowledge_later(&mut self, id: String, frame: &Value) -> Result<(), Over> {
        self.conversation.sent.insert(id.clone());
        self.unacked.push_back(Unacked { id, frame: frame.clone(), again: false });
        self.send(frame).await
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
}
