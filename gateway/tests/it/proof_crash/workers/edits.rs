//! Somebody who changes their threads: edits, further answers, forks, another branch, titles, pins, deletion and restoring.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::{Value, json};

use crate::proof_crash::aim::{Moment, Random};
use crate::proof_crash::arena::Arena;
use crate::proof_crash::client::Client;

/// What the person believes of one of their threads.
struct Tree {
    thread: String,
    /// Acknowledged messages: what they say, their own id, and that of their parent.
    said: Vec<(String, String, Value)>,
    title: Value,
    pinned: bool,
    /// Acknowledged; unknown after a run has moved it.
    head: Option<String>,
    forks: BTreeMap<String, Forks>,
}

/// Copies that end at one message.
#[derive(Default)]
struct Forks {
    /// Acknowledged ones.
    made: Vec<String>,
    /// How many were asked for.
    asked: usize,
}

pub(in crate::proof_crash) async fn work(arena: Arc<Arena>, name: String, random: Random) {
    let mut editor = Editor { client: Client::new(arena, random), name, number: 0 };
    let mut tree = None;
    while !editor.client.arena.is_over() {
        let Some(mut known) = tree.take() else {
            tree = editor.begin().await;
            continue;
        };
        if !editor.check(&known).await {
            continue;
        }
        editor.change(&mut known).await;
        if known.said.len() < 10 {
            tree = Some(known);
        } else {
            editor.check_all(&known).await;
        }
    }
    if let Some(known) = tree {
        editor.check_all(&known).await;
    }
}

struct Editor {
    client: Client,
    name: String,
    number: u32,
}

impl Editor {
    fn check_that(&self, holds: bool, fault: impl FnOnce() -> String) {
        self.client.arena.referee.check(holds, fault);
    }

    fn word(&mut self, kind: &str) -> String {
        self.number += 1;
        format!("{}n{}{kind}", self.name, self.number)
    }

    /// A new thread with a message and its answer.
    async fn begin(&mut self) -> Option<Tree> {
        let word = self.word("new");
        let frame = json!({"type": "run.submit", "clientMessageId": word, "content": word});
        let ack = self.client.converse(frame, Moment::Message).await?;
        let said = vec![(word, ack.message, Value::Null)];
        Some(Tree { thread: ack.thread, said, title: Value::Null, pinned: false, head: None, forks: BTreeMap::new() })
    }

    async fn change(&mut self, tree: &mut Tree) {
        match self.client.random.below(10) {
            0..=2 => self.edit(tree).await,
            3 | 4 => self.try_again(tree).await,
            5 => self.fork(tree).await,
            6 => self.switch(tree).await,
            7 => {
                let title = json!(self.word("title"));
                self.patch(tree, &json!({"title": title})).await;
                tree.title = title;
            }
            8 => {
                self.patch(tree, &json!({"pinned": !tree.pinned})).await;
                tree.pinned = !tree.pinned;
            }
            _ => self.delete_and_restore(tree).await,
        }
    }

    async fn edit(&mut self, tree: &mut Tree) {
        let (_, edited, parent) = tree.said[self.client.random.index(tree.said.len())].clone();
        let word = self.word("edit");
        let mut frame =
            json!({"type": "run.submit", "clientMessageId": word, "threadId": tree.thread, "content": word});
        // Beside the old one, or behind it as an ordinary message does.
        let is_edit = !self.client.random.one_in(4);
        let (place, parent) = if is_edit { ("editedId", parent) } else { ("parentId", json!(edited)) };
        frame[place] = json!(edited);
        tree.head = None;
        let Some(ack) = self.client.converse(frame, Moment::Branch).await else { return };
        let (thread, message) = (&tree.thread, &ack.message);
        let branch = self.client.arena.all(&format!("/api/threads/{thread}/messages?branch=head")).await;
        let is_shown = branch.iter().any(|shown| shown["id"] == **message);
        self.check_that(is_shown, || format!("{word} was edited in, and another branch is shown"));
        tree.said.push((word, ack.message, parent));
    }

    async fn try_again(&mut self, tree: &mut Tree) {
        let (_, message, _) = tree.said[self.client.random.index(tree.said.len())].clone();
        let word = self.word("again");
        let frame =
            json!({"type": "run.retry", "clientMessageId": word, "threadId": tree.thread, "messageId": message});
        tree.head = None;
        let Some(ack) = self.client.converse(frame, Moment::Branch).await else { return };
        self.check_that(ack.message == message, || format!("{word} answers {} instead of {message}", ack.message));
        let answers = self.client.arena.messages(&tree.thread).await;
        let answers = answers.iter().filter(|answer| answer["runId"] == *ack.run).count();
        self.check_that(answers <= 1, || format!("{word} has {answers} answers"));
    }

    async fn fork(&mut self, tree: &mut Tree) {
        let Some(origin) = self.some_message(tree).await else { return };
        let forks = tree.forks.entry(origin.clone()).or_default();
        let (path, body) = (format!("/api/threads/{}/fork", tree.thread), json!({"messageId": origin}));
        // A fork has no id of the client's: one whose answer was lost may be there, and is another than the next.
        let answer = loop {
            forks.asked += 1;
            if let Some(answer) = self.client.arena.try_call("POST", &path, Some(&body)).await {
                break answer;
            }
        };
        self.client.arena.see(Moment::Thread);
        self.check_that(answer.status == 201, || format!("the fork of {origin} was refused: {answer:?}"));
        tree.forks.entry(origin).or_default().made.extend(answer.body["id"].as_str().map(str::to_owned));
    }

    async fn switch(&mut self, tree: &mut Tree) {
        let Some(head) = self.some_message(tree).await else { return };
        self.patch(tree, &json!({"headId": head})).await;
        tree.head = Some(head);
    }

    /// One of its messages, whoever wrote it.
    async fn some_message(&mut self, tree: &Tree) -> Option<String> {
        let messages = self.client.arena.messages(&tree.thread).await;
        let message = messages.get(self.client.random.index(messages.len().max(1)))?;
        message["id"].as_str().map(str::to_owned)
    }

    async fn patch(&self, tree: &Tree, change: &Value) {
        let answer = self.client.arena.call("PATCH", &format!("/api/threads/{}", tree.thread), Some(change)).await;
        self.client.arena.see(Moment::Thread);
        self.check_that(answer.status == 200, || format!("the change {change} was refused: {answer:?}"));
    }

    async fn delete_and_restore(&self, tree: &Tree) {
        let (arena, thread) = (&self.client.arena, &tree.thread);
        let path = format!("/api/threads/{thread}");
        let before = arena.messages(thread).await;
        let deleted = arena.call("DELETE", &path, None).await;
        arena.see(Moment::Thread);
        self.check_that(deleted.is_done(204, 404), || format!("{thread} could not be deleted: {deleted:?}"));

        let lists = |threads: &[Value]| threads.iter().any(|listed| listed["id"] == **thread);
        let listed = lists(arena.get("/api/threads?archived=all&limit=100").await.body["items"].as_array().unwrap());
        self.check_that(!listed, || format!("the deleted thread {thread} is listed"));
        let restorable = lists(&arena.all("/api/threads?deleted=true").await);
        self.check_that(restorable, || format!("the deleted thread {thread} cannot be restored"));
        let open = arena.get(&path).await.status;
        self.check_that(open == 404, || format!("the deleted thread {thread} can be read: {open}"));
        let (word, message, _) = &tree.said[tree.said.len() - 1];
        self.check_that(!self.finds(word, message).await, || {
            format!("{word} is found, although its thread is deleted")
        });

        let restored = arena.call("POST", &format!("{path}/restore"), None).await;
        arena.see(Moment::Thread);
        self.check_that(restored.status == 200, || format!("{thread} could not be restored: {restored:?}"));
        let after = arena.messages(thread).await;
        self.check_that(before == after, || format!("{thread} was restored as something else: {before:?}, {after:?}"));
    }

    /// What was acknowledged last holds. False: there is no such thread.
    async fn check(&self, tree: &Tree) -> bool {
        let thread = self.client.arena.get(&format!("/api/threads/{}", tree.thread)).await;
        if thread.status != 200 {
            self.client.arena.referee.fault(format!("the acknowledged thread {} is lost: {thread:?}", tree.thread));
            return false;
        }
        let told = (&thread.body["title"], &thread.body["pinned"]);
        let known = (&tree.title, &json!(tree.pinned));
        self.check_that(told == known, || format!("the acknowledged change {known:?} is lost: it is {told:?}"));
        let kept = tree.head.as_ref().is_none_or(|head| thread.body["headId"] == **head);
        self.check_that(kept, || format!("the acknowledged switch to {:?} is lost: {}", tree.head, thread.body));
        true
    }

    /// All that was ever acknowledged of a thread.
    async fn check_all(&self, tree: &Tree) {
        self.check(tree).await;
        let arena = &self.client.arena;
        let messages = arena.messages(&tree.thread).await;
        arena.referee.judge_tree(arena, &tree.thread, &messages).await;
        for (word, id, parent) in &tree.said {
            let found: Vec<&Value> = messages.iter().filter(|message| message["clientMessageId"] == **word).collect();
            let fits = found.len() == 1 && found[0]["id"] == **id && found[0]["parentId"] == *parent;
            self.check_that(fits, || format!("the acknowledged edit {word} is lost or elsewhere: {found:?}"));
            self.check_that(self.finds(word, id).await, || format!("the acknowledged edit {word} is not found"));
        }
        let threads = arena.all("/api/threads?archived=all").await;
        for (origin, forks) in &tree.forks {
            let copies: Vec<&str> = threads
                .iter()
                .filter(|thread| thread["forkedFrom"]["messageId"] == **origin)
                .filter_map(|thread| thread["id"].as_str())
                .collect();
            let lost = forks.made.iter().find(|made| !copies.contains(&made.as_str()));
            self.check_that(lost.is_none(), || format!("the acknowledged fork {lost:?} of {origin} is lost"));
            let asked = forks.asked;
            self.check_that(copies.len() <= asked, || format!("{asked} forks of {origin} became {}", copies.len()));
            for copy in copies {
                self.check_copy(tree, origin, copy).await;
            }
        }
    }

    /// A fork is the whole branch.
    async fn check_copy(&self, tree: &Tree, origin: &str, copy: &str) {
        let said = |messages: &[Value]| -> Vec<(Value, Value)> {
            messages.iter().map(|message| (message["role"].clone(), message["content"].clone())).collect()
        };
        let arena = &self.client.arena;
        let branch = arena.get(&format!("/api/threads/{}/messages?limit=100&branch={origin}", tree.thread)).await;
        let copied = arena.get(&format!("/api/threads/{copy}/messages?limit=100&branch=head")).await;
        let items = |answer: &Value| answer["items"].as_array().cloned().unwrap_or_default();
        let (branch, copied) = (items(&branch.body), items(&copied.body));
        self.check_that(said(&branch) == said(&copied), || format!("the fork {copy} is not whole: {copied:?}"));
        arena.referee.judge_tree(arena, copy, &copied).await;
    }

    /// Whether search finds this message by its word.
    async fn finds(&self, word: &str, message: &str) -> bool {
        let hits = self.client.arena.all(&format!("/api/search?q={word}%20")).await;
        hits.iter().filter(|hit| hit["messageId"] == *message).count() == 1
    }
}
