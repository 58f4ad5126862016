//! What waits for an answer of the person: consent, the form of a tool, a run that crashed. One at a time, oldest first.

use serde_json::json;

use super::arguments;
use super::conversation::Approval;
use super::form::{Form, Taken};
use super::talk::{Over, Talk};
use crate::cli::plain::exact;

pub(super) enum Question {
    Approval(Approval),
    Form(Form),
    Quarantined { run: String },
}

impl Question {
    pub(super) fn run(&self) -> &str {
        match self {
            Self::Approval(approval) => &approval.run,
            Self::Form(form) => &form.run,
            Self::Quarantined { run } => run,
        }
    }
}

impl Talk {
    pub(super) async fn answered(&mut self, question: Question, answer: &str) -> Result<(), Over> {
        if let Question::Form(form) = question {
            return self.filled_in(form, answer).await;
        }
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

    async fn filled_in(&mut self, mut form: Form, answer: &str) -> Result<(), Over> {
        match form.take(answer) {
            Taken::Done(frame) => {
                self.answered = Some(form);
                self.invite();
                return self.send(&frame).await;
            }
            Taken::More => {}
            Taken::Again(sentence) => self.screen.fault(&sentence),
        }
        self.screen.ask(&form.question());
        self.questions.push_front(Question::Form(form));
        Ok(())
    }

    /// Asks what waits for an answer, or for the next message.
    pub(super) fn invite(&mut self) {
        match self.questions.front() {
            Some(Question::Approval(approval)) => {
                let (name, server) = (exact(&approval.name), exact(&approval.server));
                let risk = match approval.risk.as_str() {
                    "read_only" => "it only reads, says the server",
                    "destructive" => "it may delete or overwrite something",
                    _ => "it may change something",
                };
                let why = match approval.why.as_str() {
                    "policy" => "\nA policy wants your consent.",
                    "foreign_text" => "\nThe assistant has read text from outside, which may have asked for this.",
                    "address" => "\nThe assistant has read text from outside, and you did not name this address.",
                    _ => "",
                };
                let rows = arguments::rows(&approval.arguments).into_iter().map(|row| format!("\n  {row}"));
                let with: String = rows.collect();
                let question = format!("Run {name} of {server}? ({risk}){with}{why}\ny = once, a = always, n = no:");
                self.screen.ask(&question);
            }
            Some(Question::Form(form)) => {
                let question = format!("{}\n{}", form.introduction(), form.question());
                self.screen.ask(&question);
            }
            Some(Question::Quarantined { .. }) => self.screen.ask("r = try again, d = discard, Enter = leave it:"),
            None if self.conversation.going.is_empty() && self.unacked.is_empty() => self.screen.prompt(),
            None => self.screen.wait(),
        }
    }
}
