//! The connection of a conversation: what is sent over it, and how it is opened again without losing anything.

use std::time::Duration;

use serde_json::{Value, json};

use super::connection::{Connection, Lost};
use super::talk::{INTERRUPTED, Over, Talk};

const FIRST_PAUSE: Duration = Duration::from_millis(250);
const LONGEST_PAUSE: Duration = Duration::from_secs(10);
/// A pipe gives up after this many tries; a person decides alone.
const TRIES: u32 = 12;
impl Talk {
    /// What cannot be sent now is sent after the connection is opened again, if it is a message.
    pub(super) async fn send(&mut self, frame: &Value) -> Result<(), Over> {
        match self.connection.send(frame).await {
            Ok(()) => Ok(()),
            Err(lost) => {
                self.reconnect(lost).await?;
                if !frame["clientMessageId"].is_null() {
                    return Ok(());
                }
                self.connection.send(frame).await.or(Ok(()))
            }
        }
    }

    pub(super) async fn resume(&mut self) -> Result<(), Lost> {
        let Some(thread) = self.conversation.thread.clone() else { return Ok(()) };
        let frame = json!({"type": "resume", "threads": {thread: self.conversation.last}});
        self.connection.send(&frame).await
    }

    pub(super) async fn reconnect(&mut self, mut lost: Lost) -> Result<(), Over> {
        let mut pause = FIRST_PAUSE;
        for tries in 1.. {
            if !lost.passing || (!self.screen.interactive() && tries > TRIES) {
                return self.give_up(&lost.sentence);
            }
            if tries == 2 {
                self.screen.fault(&format!("{}; trying again until it works, Ctrl-C leaves", lost.sentence));
            }
            self.wait(pause).await?;
            pause = (pause * 2).min(LONGEST_PAUSE);
            match self.reopen().await {
                Ok(()) if tries > 1 => {
                    self.beside("connected again");
                    self.invite();
                    break;
                }
                Ok(()) => break,
                Err(again) => lost = again,
            }
        }
        Ok(())
    }

    /// What is typed meanwhile is seen, and sent later.
    async fn wait(&mut self, pause: Duration) -> Result<(), Over> {
        let over = tokio::time::sleep(pause);
        tokio::pin!(over);
        loop {
            tokio::select! {
                () = &mut over => return Ok(()),
                typed = self.input.recv(), if self.screen.edits() => self.hear(typed)?,
                _ = self.interrupts.recv() => return Err(Over(INTERRUPTED)),
            }
        }
    }

    /// Goes on where the last connection stopped; sending a message again makes no second one.
    async fn reopen(&mut self) -> Result<(), Lost> {
        self.connection = Connection::open(&self.server).await?;
        self.resume().await?;
        for message in &mut self.unacked {
            message.again = true;
            self.connection.send(&message.frame).await?;
        }
        Ok(())
    }
}
