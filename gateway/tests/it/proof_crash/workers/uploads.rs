//! Somebody who uploads files, sends some with a message and removes some.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use adjutant_testkit::provider::Provider;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use sqlx::PgConnection;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::proof_crash::aim::{Moment, Random};
use crate::proof_crash::arena::{Arena, KEY};
use crate::proof_crash::client::Client;
use crate::proof_crash::referee::Referee;

/// What one person believes of their files.
#[derive(Default)]
pub(in crate::proof_crash) struct Believed {
    /// SHA-256 of all that was sent, acknowledged or not.
    sent: BTreeSet<String>,
    /// Acknowledged and not removed: id and SHA-256.
    kept: BTreeMap<String, String>,
    removed: BTreeSet<String>,
    /// How many uploads were not answered.
    cut: usize,
    /// Acknowledged messages: thread, message, file, and a line that stands in the file.
    told: Vec<(String, String, String, String)>,
}

struct File {
    name: String,
    content: Vec<u8>,
    /// A text begins with this line.
    line: String,
}

pub(in crate::proof_crash) async fn work(arena: Arc<Arena>, name: String, random: Random) -> Believed {
    let mut client = Client::new(arena, random);
    let mut files = Believed::default();
    for number in 1.. {
        if client.arena.is_over() {
            break;
        }
        let file = some_file(&mut client.random, &format!("{name}n{number}"));
        let id = upload(&client, &mut files, &file).await;
        check(&client, &files, &id).await;
        match client.random.below(4) {
            0 => remove(&client, &mut files, id).await,
            1 | 2 if !file.line.is_empty() => {
                let said = format!("{name}m{number}");
                let content = json!([{"type": "text", "text": said}, {"type": "file", "fileId": id}]);
                let frame = json!({"type": "run.submit", "clientMessageId": said, "content": content});
                if let Some(ack) = client.converse(frame, Moment::Message).await {
                    files.told.push((ack.thread, ack.message, id, file.line));
                }
            }
            _ => {}
        }
        if let Some(old) = files.kept.keys().nth(client.random.index(files.kept.len().max(1))).cloned() {
            check(&client, &files, &old).await;
        }
    }
    files
}

/// A text of some lines, or bytes that call themselves an image; small ones, and now and then a large one.
fn some_file(random: &mut Random, word: &str) -> File {
    let is_large = random.one_in(6);
    let length = if is_large { 1_000_000 + random.index(1_000_000) } else { 500 + random.index(30_000) };
    if is_large || random.one_in(3) {
        let mut content = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR".to_vec();
        content.extend((0..length).map(|_| u8::try_from(random.below(256)).unwrap()));
        return File { name: format!("{word}.png"), content, line: String::new() };
    }
    let line = format!("{word} {:016x}", random.below(u64::MAX));
    File { name: format!("{word}.txt"), content: format!("{line}\n").repeat(length / line.len()).into_bytes(), line }
}

/// The same upload, as often as it takes to be acknowledged; its id.
async fn upload(client: &Client, files: &mut Believed, file: &File) -> String {
    let sha256 = hex::encode(Sha256::digest(&file.content));
    files.sent.insert(sha256.clone());
    loop {
        let Some((status, body)) = try_upload(&client.arena, file).await else {
            files.cut += 1;
            continue;
        };
        client.arena.see(Moment::File);
        let told = (status, body["sha256"].as_str(), body["size"].as_u64());
        let fits = told == (201, Some(&*sha256), Some(file.content.len() as u64));
        client.arena.referee.check(fits, || format!("the upload of {} was answered with {status} {body}", file.name));
        let id = body["id"].as_str().unwrap_or_default().to_owned();
        files.kept.insert(id.clone(), sha256);
        return id;
    }
}

/// `None`: the server went away before it had answered. Written by hand, to know when half of it has left.
async fn try_upload(arena: &Arena, file: &File) -> Option<(u16, Value)> {
    arena.up().await;
    let mut stream = TcpStream::connect(("127.0.0.1", arena.port)).await.ok()?;
    let head = format!(
        "POST /api/files?name={} HTTP/1.1\r\nHost: 127.0.0.1:{}\r\nX-API-Key: {KEY}\r\nConnection: close\r\n\
         Content-Type: application/octet-stream\r\nContent-Length: {}\r\n\r\n",
        file.name,
        arena.port,
        file.content.len()
    );
    let (first, second) = file.content.split_at(file.content.len() / 2);
    stream.write_all(head.as_bytes()).await.ok()?;
    stream.write_all(first).await.ok()?;
    arena.see(Moment::Uploading);
    stream.write_all(second).await.ok()?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.ok()?;
    let answer = String::from_utf8(answer).ok()?;
    let (head, body) = answer.split_once("\r\n\r\n")?;
    let status = head.split(' ').nth(1)?.parse().ok().filter(|status| *status != 503)?;
    // Cut within the body it is no answer.
    Some((status, serde_json::from_str(body).ok()?))
}

/// A file that nobody named goes, and is gone.
async fn remove(client: &Client, files: &mut Believed, id: String) {
    let answer = client.arena.call("DELETE", &format!("/api/files/{id}"), None).await;
    client.arena.see(Moment::File);
    let done = answer.is_done(204, 404);
    client.arena.referee.check(done, || format!("the file {id} could not be removed: {answer:?}"));
    files.kept.remove(&id);
    files.removed.insert(id);
}

/// What was acknowledged is there with exactly its bytes, and what was removed is not.
async fn check(client: &Client, files: &Believed, id: &str) {
    let referee = &client.arena.referee;
    let content = client.arena.content(id).await;
    match (files.kept.get(id), content) {
        (Some(sha256), Ok(bytes)) => {
            let same = *sha256 == hex::encode(Sha256::digest(&bytes));
            referee.check(same, || format!("the acknowledged file {id} has other bytes"));
        }
        (Some(_), Err(status)) => referee.fault(format!("the acknowledged file {id} is lost: {status}")),
        (None, content) => {
            referee.check(content == Err(404), || format!("the removed file {id} is still there"));
        }
    }
}

impl Believed {
    pub(in crate::proof_crash) fn kept(&self) -> usize {
        self.kept.len()
    }

    pub(in crate::proof_crash) fn cut(&self) -> usize {
        self.cut
    }

    /// Files as they are read, and messages that have them: in the thread, and in what the model was sent.
    pub(in crate::proof_crash) async fn audit(&self, arena: &Arc<Arena>, provider: &Provider) {
        let client = Client::new(Arc::clone(arena), Random(1));
        for id in self.kept.keys().chain(&self.removed) {
            check(&client, self, id).await;
        }
        let asked: Vec<String> = provider.turns().iter().map(|turn| turn.body["messages"].to_string()).collect();
        for (thread, message, file, line) in &self.told {
            let messages = arena.messages(thread).await;
            let found = messages.iter().find(|found| found["id"] == **message);
            let has = found.is_some_and(|found| found["content"][1]["fileId"] == **file);
            arena.referee.check(has, || format!("the acknowledged message {message} is without its file: {found:?}"));
            let answered = messages.iter().any(|other| other["parentId"] == **message && other["role"] == "assistant");
            let sent = asked.iter().any(|messages| messages.contains(line));
            arena.referee.check(sent || !answered, || format!("{message} was answered without the content of {file}"));
        }
    }
}

/// Past all doors: each file is whole, none is there that nobody sent, and the bytes that are counted are theirs.
pub(in crate::proof_crash) async fn audit_stored(all: &[Believed], database: &mut PgConnection, referee: &Referee) {
    let stored: Vec<(String, i64, i64, String, String)> = sqlx::query_as(
        "select id::text, size, octet_length(content)::bigint, encode(sha256, 'hex'), encode(sha256(content), 'hex') from files",
    )
    .fetch_all(&mut *database)
    .await
    .unwrap();
    let mut bytes = 0;
    for (id, size, length, told, sha256) in &stored {
        bytes += length;
        referee.check(size == length && told == sha256, || {
            format!("the file {id} is not whole: {length} of {size} bytes")
        });
        let known = all.iter().any(|files| files.sent.contains(sha256));
        referee.check(known, || format!("the file {id} is one that nobody sent"));
    }
    for files in all {
        let is_stored = |id: &String| stored.iter().any(|(stored, ..)| stored == id);
        for id in files.kept.keys().filter(|id| !is_stored(id)) {
            referee.fault(format!("the acknowledged file {id} is lost: it is not stored"));
        }
        for id in files.removed.iter().filter(|id| is_stored(id)) {
            referee.fault(format!("the removed file {id} is still stored"));
        }
    }
    let mut counting = sqlx::Connection::begin(database).await.unwrap();
    let owner =
        "select set_config('app.user_id', user_id, true), set_config('app.profile', profile, true) from files limit 1";
    sqlx::query(owner).execute(&mut *counting).await.unwrap();
    let used: i64 = sqlx::query_scalar("select files_used()").fetch_one(&mut *counting).await.unwrap();
    referee.check(used == bytes, || format!("{used} bytes are counted, and the files have {bytes}"));
}
