//! What came from the server, and what of it the person sees.

use serde_json::Value;

use super::arguments;
use super::asking::Question;
use super::conversation::Show;
use super::talk::{INTERRUPTED, Over, Talk};

impl Talk {
    pub(super) async fn show(&mut self, text: &str) -> Result<(), Over> {
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
                self.screen.end_text();
                // Who cancels knows why.
                if partial && !self.cancelling {
                    self.screen.note("(cut off)");
                }
            }
            Show::Said(text) => self.beside(&format!("> {text}")),
            Show::Call { name, arguments } => self.beside(&format!("→ {name} {}", arguments::short(&arguments))),
            Show::Result { name, outcome, text } => self.beside(&format!("← {name} {outcome}: {text}")),
            Show::Ask(approval) => {
                if !self.screen.interactive() && !self.json {
                    let thread = self.conversation.thread.as_deref().unwrap_or_default();
                    let sentence =
                        format!("{} waits for consent; decide with: adjutant chat --thread {thread}", approval.name);
                    return self.give_up(&sentence);
                }
                self.questions.push_back(Question::Approval(approval));
                self.invite();
            }
            Show::Question(form) => {
                if !self.screen.interactive() && !self.json {
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
                    if self.screen.interactive() {
                        self.screen.progress(&format!("… {progress}"));
                    }
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
                if !self.screen.interactive() && (self.unacked.len() < unacked || client_message_id.is_none()) {
                    return Err(Over(1));
                }
                self.invite();
            }
        }
        Ok(())
    }

    /// What a pipe does not want to see.
    pub(super) fn beside(&mut self, text: &str) {
        if self.screen.interactive() {
            self.screen.note(text);
        }
    }

    fn state(&mut self, run: String, state: &str, reason: Option<&str>) -> Result<(), Over> {
        match state {
            "joined" => self.beside("(taken into the answer that is being written)"),
            "queued" => self.beside("(queued: it is answered after the message before it)"),
            "quarantined" => {
                let reason = reason.unwrap_or("the run is quarantined");
                if !self.screen.interactive() && !self.json {
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
        if !self.screen.interactive() {
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
}
