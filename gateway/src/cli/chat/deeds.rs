//! What the orders of a person do: lists, other threads, edits and further answers.

use adjutant_core::ids::{MessageId, ThreadId};
use serde_json::{Value, json};

use super::conversation::{Conversation, said};
use super::orders::{HELP, Order};
use super::talk::{Over, Talk};

/// Threads in a list.
pub(super) const LISTED: usize = 20;

impl Talk {
    pub(super) async fn obey(&mut self, order: Order) -> Result<(), Over> {
        let done = match order {
            Order::Say(content) => return self.submit(content, &json!({})).await,
            Order::Quit => return Err(Over(0)),
            Order::Steer(content) => return self.submit(content, &json!({"mode": "steer"})).await,
            Order::Edit(content) => match self.newest() {
                Ok(newest) => return self.submit(content, &json!({"editedId": newest})).await,
                Err(sentence) => Err(sentence),
            },
            Order::Retry(model) => match self.newest() {
                Ok(newest) => return self.retry(newest, model).await,
                Err(sentence) => Err(sentence),
            },
            Order::Help => {
                for (order, meaning) in HELP {
                    self.screen.entry(&format!("{order:<16}"), meaning);
                }
                Ok(())
            }
            Order::Threads => self.list().await,
            Order::Open(which) => self.open(&which).await,
            Order::New => self.leave_thread().map(|()| self.screen.note("a new thread begins with the next message")),
            Order::Rename(title) => self.rename(&title).await,
            Order::Search(words) => self.search(&words).await,
            Order::File(path) => self.attach(&path).await,
        };
        if let Err(sentence) = done {
            self.screen.fault(&sentence);
        }
        self.invite();
        Ok(())
    }

    fn newest(&self) -> Result<String, String> {
        self.conversation.newest.clone().ok_or_else(|| "there is no message in this thread yet".to_owned())
    }

    async fn retry(&mut self, message: String, model: Option<String>) -> Result<(), Over> {
        let id = MessageId::new().to_string();
        let mut frame = json!({"type": "run.retry", "clientMessageId": id, "messageId": message});
        frame["threadId"] = json!(self.conversation.thread);
        if let Some(model) = model {
            frame["model"] = json!(model);
        }
        self.acknowledge_later(id, &frame).await
    }

    async fn list(&mut self) -> Result<(), String> {
        let threads = self.rest.threads(LISTED).await?;
        self.listed = threads.iter().filter_map(|thread| thread["id"].as_str().map(str::to_owned)).collect();
        if threads.is_empty() {
            self.screen.note("there are no threads yet");
        }
        for (number, thread) in (1..).zip(&threads) {
            let here = if thread["id"].as_str() == self.conversation.thread.as_deref() { " (this one)" } else { "" };
            self.screen.entry(&format!("{number:>2}  {}", day(thread)), &format!("{}{here}", title(thread)));
        }
        Ok(())
    }

    async fn open(&mut self, which: &str) -> Result<(), String> {
        let number = which.parse::<usize>().ok();
        let thread = match number.and_then(|number| self.listed.get(number.checked_sub(1)?)) {
            Some(thread) => thread.clone(),
            None if number.is_some() => return Err("there is no such number; /threads lists what there is".to_owned()),
            None => {
                which.parse::<ThreadId>().map_err(|_| "this is neither a number of /threads nor an id")?.to_string()
            }
        };
        // An unknown thread must not cost the one that is open.
        self.rest.messages(&thread).await?;
        self.leave_thread()?;
        self.go_on_in(thread).await
    }

    fn leave_thread(&mut self) -> Result<(), String> {
        if !self.unacked.is_empty() {
            return Err("the last message is not taken yet: wait a moment".to_owned());
        }
        self.conversation = Conversation::default();
        self.questions.clear();
        Ok(())
    }

    async fn rename(&mut self, title: &str) -> Result<(), String> {
        let thread = self.conversation.thread.clone().ok_or("there is no thread yet: write something first")?;
        self.rest.rename(&thread, title).await?;
        self.screen.note(&format!("this thread is called {title}"));
        Ok(())
    }

    async fn search(&mut self, words: &str) -> Result<(), String> {
        let found = self.rest.search(words).await?;
        self.listed = found.iter().filter_map(|found| found["threadId"].as_str().map(str::to_owned)).collect();
        if found.is_empty() {
            self.screen.note("nothing was found");
        }
        for (number, found) in (1..).zip(&found) {
            let text = said(&found["snippet"]);
            let title = found["threadTitle"].as_str().unwrap_or("untitled");
            self.screen.entry(&format!("{number:>2}"), &format!("{title}: {text}"));
        }
        if !found.is_empty() {
            self.screen.note("/open N goes on in the thread of one of them");
        }
        Ok(())
    }
}

/// When a thread was used last.
pub(super) fn day(thread: &Value) -> String {
    thread["updatedAt"].as_str().unwrap_or_default().chars().take(16).collect::<String>().replace('T', " ")
}

pub(super) fn title(thread: &Value) -> &str {
    thread["title"].as_str().filter(|title| !title.trim().is_empty()).unwrap_or("untitled")
}
