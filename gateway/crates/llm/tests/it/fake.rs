//! A provider that says exactly the bytes a test wants, and remembers what it was asked.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, Semaphore};
use tokio::task::AbortHandle;

use crate::support::soon;

/// What the server does for one request, in this order.
#[derive(Clone)]
pub(crate) enum Step {
    Send(Vec<u8>),
    /// Goes on when the test adds a permit.
    Await(Arc<Semaphore>),
    /// Waits until the client leaves.
    Hang,
    /// Sends until the client leaves.
    Flood(Vec<u8>),
    Close,
    /// Closes with a reset instead of an end.
    Reset,
}

#[derive(Debug, Clone)]
pub(crate) struct Asked {
    pub(crate) line: String,
    pub(crate) headers: BTreeMap<String, String>,
    pub(crate) body: Value,
    /// Which connection it came on.
    pub(crate) connection: usize,
}

#[derive(Default)]
struct Shared {
    asked: Mutex<Vec<Asked>>,
    faults: Mutex<Vec<String>>,
    left: Notify,
}

pub(crate) struct Fake {
    pub(crate) address: String,
    shared: Arc<Shared>,
    task: AbortHandle,
}

impl Fake {
    /// Answers the first request with the first reply, and all beyond the last one with the last.
    pub(crate) async fn start(replies: Vec<Vec<Step>>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let shared = Arc::new(Shared::default());
        let task = tokio::spawn(serve(listener, Arc::new(replies), shared.clone())).abort_handle();
        Self { address, shared, task }
    }

    pub(crate) fn base_url(&self) -> String {
        format!("http://{}/v1", self.address)
    }

    pub(crate) fn asked(&self) -> Vec<Asked> {
        self.shared.asked.lock().unwrap().clone()
    }

    pub(crate) fn count(&self) -> usize {
        self.shared.asked.lock().unwrap().len()
    }

    /// Waits until a client has left in the middle of [`Step::Hang`] or [`Step::Flood`].
    pub(crate) async fn client_left(&self) {
        soon(self.shared.left.notified()).await;
    }
}

impl Drop for Fake {
    fn drop(&mut self) {
        self.task.abort();
        if !std::thread::panicking() {
            assert_eq!(*self.shared.faults.lock().unwrap(), Vec::<String>::new());
        }
    }
}

async fn serve(listener: TcpListener, replies: Arc<Vec<Vec<Step>>>, shared: Arc<Shared>) {
    let mut connection = 0;
    while let Ok((stream, _)) = listener.accept().await {
        stream.set_nodelay(true).unwrap();
        tokio::spawn(talk(stream, connection, replies.clone(), shared.clone()));
        connection += 1;
    }
}

async fn talk(mut stream: TcpStream, connection: usize, replies: Arc<Vec<Vec<Step>>>, shared: Arc<Shared>) {
    while let Some(asked) = read_request(&mut stream, connection).await {
        shared.faults.lock().unwrap().extend(unpaired(&asked.body));
        let number = {
            let mut all = shared.asked.lock().unwrap();
            all.push(asked);
            all.len() - 1
        };
        let Some(steps) = replies.get(number).or(replies.last()) else { return };
        for step in steps {
            match step {
                Step::Send(bytes) => drop(stream.write_all(bytes).await),
                Step::Await(gate) => gate.acquire().await.unwrap().forget(),
                Step::Hang => {
                    while !matches!(stream.read(&mut [0; 1024]).await, Ok(0) | Err(_)) {}
                    shared.left.notify_one();
                    return;
                }
                Step::Flood(bytes) => {
                    while stream.write_all(bytes).await.is_ok() {}
                    shared.left.notify_one();
                    return;
                }
                Step::Close => return,
                Step::Reset => {
                    stream.set_zero_linger().unwrap();
                    return;
                }
            }
        }
    }
}

async fn read_request(stream: &mut TcpStream, connection: usize) -> Option<Asked> {
    let mut bytes = Vec::new();
    let head_end = loop {
        if let Some(place) = bytes.windows(4).position(|part| part == b"\r\n\r\n") {
            break place;
        }
        if stream.read_buf(&mut bytes).await.ok()? == 0 {
            return None;
        }
    };
    let head = String::from_utf8(bytes[..head_end].to_vec()).unwrap();
    let mut lines = head.lines();
    let line = lines.next().unwrap().to_owned();
    let headers: BTreeMap<_, _> = lines
        .filter_map(|line| line.split_once(": "))
        .map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()))
        .collect();
    let length: usize = headers.get("content-length").map_or(0, |length| length.parse().unwrap());
    while bytes.len() < head_end + 4 + length {
        if stream.read_buf(&mut bytes).await.ok()? == 0 {
            return None;
        }
    }
    let body = &bytes[head_end + 4..];
    let body = if body.is_empty() { Value::Null } else { serde_json::from_slice(body).unwrap() };
    Some(Asked { line, headers, body, connection })
}

/// Tool calls without exactly one result behind them, and results without a call before them.
fn unpaired(body: &Value) -> Vec<String> {
    let mut open: Vec<String> = Vec::new();
    let mut faults = Vec::new();
    for message in body["messages"].as_array().into_iter().flatten() {
        if message["role"] == "tool" && message.get("tool_call_id").is_some() {
            let id = message["tool_call_id"].as_str().unwrap_or_default();
            match open.iter().position(|call| call == id) {
                Some(place) => drop(open.remove(place)),
                None => faults.push(format!("result without a call: {id:?}")),
            }
            continue;
        }
        faults.extend(open.drain(..).map(|id| format!("call without a result: {id:?}")));
        // Ollama's calls have no ids.
        let with_id = |call: &&Value| call.get("id").is_some();
        for call in message["tool_calls"].as_array().into_iter().flatten().filter(with_id) {
            let id = call["id"].as_str().unwrap_or_default().to_owned();
            if id.is_empty() || open.contains(&id) {
                faults.push(format!("unfit call id: {id:?}"));
            }
            open.push(id);
        }
    }
    faults.extend(open.into_iter().map(|id| format!("call without a result: {id:?}")));
    faults
}

pub(crate) fn send(text: impl Into<Vec<u8>>) -> Step {
    Step::Send(text.into())
}

/// The head of an event stream that ends with the connection.
pub(crate) fn stream_head() -> Step {
    send("HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n")
}

/// The head of an event stream in HTTP chunks, so that a cut is seen by the HTTP client.
pub(crate) fn chunked_head() -> Step {
    send("HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n")
}

pub(crate) fn in_chunk(text: &str) -> Step {
    send(format!("{:x}\r\n{text}\r\n", text.len()))
}

pub(crate) fn event(data: &Value) -> Step {
    send(format!("data: {data}\n\n"))
}

pub(crate) fn done() -> Step {
    send("data: [DONE]\n\n")
}

pub(crate) fn text(text: &str) -> Value {
    json!({"id": "c", "object": "chat.completion.chunk", "model": "m-1",
        "choices": [{"index": 0, "delta": {"content": text}, "finish_reason": null}]})
}

pub(crate) fn finish(reason: &str) -> Value {
    json!({"id": "c", "model": "m-1", "choices": [{"index": 0, "delta": {}, "finish_reason": reason}]})
}

pub(crate) fn tool_call(delta: &Value) -> Value {
    json!({"id": "c", "model": "m-1", "choices": [{"index": 0, "delta": {"tool_calls": [delta]}, "finish_reason": null}]})
}

/// A whole answer of one piece of text.
pub(crate) fn says(words: &str) -> Vec<Step> {
    vec![stream_head(), event(&text(words)), event(&finish("stop")), done(), Step::Close]
}

/// An answer that is no stream.
pub(crate) fn plain(status: u16, headers: &str, body: &str) -> Vec<Step> {
    let length = body.len();
    vec![send(format!("HTTP/1.1 {status} X\r\ncontent-length: {length}\r\n{headers}\r\n{body}"))]
}
