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
use super::conversation::{Conversation, said};
use super::files::{Attached, Local};
use super::form::Form;
use super::input::{self, Raw, Typed};
use super::keys::Keys;
use super::orders::Order;
use super::rest::Rest;
use super::row::Entry;
use super::screen::{Lines, Screen};

/// Ended by Ctrl-C, as shells have it.
pub(super) const INTERRUPTED: u8 = 130;
const TERMINATED: u8 = 143;
/// SIGCONT, the same everywhere that this runs.
const CONTINUED: i32 = 18;

pub(super) struct Talk {
    pub(super) server: Server,
    pub(super) rest: Rest,
    pub(super) connection: Connection,
    pub(super) screen: Screen,
    pub(super) conversation: Conversation,
    pub(super) input: mpsc::Receiver<Typed>,
    keys: Keys,
    /// Lines that were entered and not looked at yet.
    entered: VecDeque<Entry>,
    /// The terminal's own ways are back when this is gone.
    raw: Option<Raw>,
    pub(super) interrupts: Signal,
    /// The window has another size, or is ours again after Ctrl-Z.
    resized: Signal,
    continued: Signal,
    terminated: Signal,
    pub(super) json: bool,
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
    pub(super) progress: String,
    /// The run of the one message of a pipe.
    pub(super) awaited: Option<String>,
    /// A cancel was asked for; the next Ctrl-C leaves.
    pub(super) cancelling: bool,
}

pub(super) struct Unacked {
    pub(super) id: String,
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
        let kinds = [
            SignalKind::interrupt(),
            SignalKind::window_change(),
            SignalKind::from_raw(CONTINUED),
            SignalKind::terminate(),
        ];
        let signals = kinds.into_iter().map(signal).collect::<Result<Vec<_>, _>>();
        let [interrupts, resized, continued, terminated] = match signals.map(TryInto::try_into) {
            Ok(Ok(signals)) => signals,
            Ok(Err(_)) => return Err(failed(&mut screen, "signals cannot be heard")),
            Err(error) => return Err(failed(&mut screen, &format!("signals cannot be heard: {error}"))),
        };
        // A terminal that cannot do this edits its lines itself.
        let raw = if screen.edits() { Raw::begin().ok() } else { None };
        if raw.is_none() && screen.lines == Lines::Ours {
            screen.lines = Lines::Terminal;
        }
        let input = match (&args.message, &raw) {
            (Some(message), _) => input::one(message),
            (None, Some(_)) => input::keys(),
            (None, None) => input::messages(),
        };
        let mut talk = Self {
            server,
            rest,
            connection,
            conversation: if screen.interactive() { Conversation::default() } else { Conversation::mine_only() },
            screen,
            input,
            keys: Keys::default(),
            entered: VecDeque::new(),
            raw,
            interrupts,
            resized,
            continued,
            terminated,
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
            None if talk.screen.interactive() && !args.new => talk.rest.newest_thread().await.unwrap_or_default(),
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
        if self.screen.interactive() {
            self.screen.note(&format!("thread {thread}; /new begins another, /help says what else there is"));
            for message in messages.iter().filter(|message| seq(message) <= from) {
                match message["role"].as_str() {
                    Some("user") => self.screen.note(&format!("> {}", said(&message["content"]))),
                    Some("assistant") => {
                        self.screen.answer(&said(&message["content"]));
                        self.screen.end_text();
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
        if !self.files.is_empty() && self.screen.interactive() {
            self.screen.note("the files go with the next message");
        }
        self.invite();
        let Over(code) = loop {
            if let Err(over) = self.turn().await {
                break over;
            }
        };
        self.screen.end();
        self.connection.close().await;
        ExitCode::from(code)
    }

    async fn turn(&mut self) -> Result<(), Over> {
        match self.entered.pop_front() {
            Some(Entry::Line(line)) => return self.typed(line).await,
            Some(Entry::Closed) => return Err(Over(0)),
            None => {}
        }
        let may_type = self.screen.interactive() || (self.awaited.is_none() && self.unacked.is_empty());
        tokio::select! {
            frame = self.connection.receive() => match frame {
                Ok(text) => self.show(&text).await,
                Err(lost) => self.reconnect(lost).await,
            },
            typed = self.input.recv(), if may_type => self.hear(typed),
            _ = self.interrupts.recv() => self.interrupted().await,
            over = beside(&mut self.screen, self.raw.as_ref(), &mut self.resized, &mut self.continued, &mut self.terminated) => over,
        }
    }

    /// Writes down what was typed; lines that were entered are looked at later, in their order.
    pub(super) fn hear(&mut self, typed: Option<Typed>) -> Result<(), Over> {
        match typed {
            Some(Typed::Line(line)) => {
                self.screen.entered();
                self.entered.push_back(Entry::Line(line));
            }
            Some(Typed::Bytes(bytes)) => {
                for key in self.keys.feed(&bytes) {
                    self.entered.extend(self.screen.key(key));
                }
            }
            None => return Err(Over(0)),
        }
        Ok(())
    }

    async fn typed(&mut self, line: String) -> Result<(), Over> {
        let answer = line.trim();
        if !self.screen.interactive() {
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

    /// Throws away what is being written, else cancels what is going on; the second time, or when nothing is, leaves.
    async fn interrupted(&mut self) -> Result<(), Over> {
        if self.screen.discard() {
            return Ok(());
        }
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

/// What happens to the terminal meanwhile.
async fn beside(
    screen: &mut Screen,
    raw: Option<&Raw>,
    resized: &mut Signal,
    continued: &mut Signal,
    terminated: &mut Signal,
) -> Result<(), Over> {
    tokio::select! {
        _ = resized.recv() => screen.refresh(),
        _ = continued.recv() => {
            // If it cannot be had back, what is typed is seen twice: no reason to end.
            let _ = raw.map(Raw::again);
            screen.refresh();
        }
        _ = terminated.recv() => return Err(Over(TERMINATED)),
    }
    Ok(())
}
