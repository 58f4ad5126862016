//! What all share: where the server is, whether it is up, what was seen, and requests that outlive its crashes.

use std::time::Duration;

use serde_json::Value;
use tokio::sync::watch;

use super::aim::{Aim, Moment};
use super::referee::Referee;

pub(super) const KEY: &str = "crash-test-key-0123456789-0123456789-abcdef";
pub(super) const PATIENCE: Duration = Duration::from_secs(60);

pub(super) struct Arena {
    pub(super) port: u16,
    pub(super) seed: u64,
    pub(super) referee: Referee,
    pub(super) aim: Aim,
    /// The number of the server's life; 0 while it is down.
    pub(super) life: watch::Sender<u64>,
    pub(super) stop: watch::Sender<bool>,
    http: reqwest::Client,
}

/// What the server answered to a request.
#[derive(Debug, Clone)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) body: Value,
    /// An attempt before this one was not answered: it may have been done.
    pub(super) again: bool,
}

impl Answer {
    /// Whether it was done: by this attempt, or by one before it whose answer was lost, after which there is `gone`.
    pub(super) fn is_done(&self, done: u16, gone: u16) -> bool {
        self.status == done || self.again && self.status == gone
    }
}

impl Arena {
    pub(super) fn new(port: u16, seed: u64) -> Self {
        Self {
            port,
            seed,
            referee: Referee::default(),
            aim: Aim::default(),
            life: watch::channel(0).0,
            stop: watch::channel(false).0,
            http: reqwest::Client::builder().timeout(PATIENCE).build().unwrap(),
        }
    }

    pub(super) fn see(&self, moment: Moment) {
        self.aim.see(moment);
    }

    pub(super) fn is_over(&self) -> bool {
        *self.stop.borrow()
    }

    /// Waits until the server is up.
    pub(super) async fn up(&self) {
        let mut life = self.life.subscribe();
        let up = tokio::time::timeout(PATIENCE, life.wait_for(|life| *life > 0)).await;
        assert!(up.is_ok(), "seed {}: the server stays away", self.seed);
    }

    /// One attempt. `None`: the server went away before it had answered.
    pub(super) async fn try_call(&self, method: &str, path: &str, body: Option<&Value>) -> Option<Answer> {
        self.up().await;
        let url = format!("http://127.0.0.1:{}{path}", self.port);
        let mut request = self.http.request(method.parse().unwrap(), url).header("x-api-key", KEY);
        if let Some(body) = body {
            request = request.json(body);
        }
        let answered = async {
            let response = request.send().await?;
            let status = response.status().as_u16();
            Ok::<_, reqwest::Error>((status, response.bytes().await?))
        };
        match answered.await {
            // It stops, or its database does.
            Ok((503, _)) => None,
            Ok((status, bytes)) => {
                let body = serde_json::from_slice(&bytes).unwrap_or_default();
                Some(Answer { status, body, again: false })
            }
            Err(error) if error.is_timeout() => panic!("seed {}: no answer to {method} {path}", self.seed),
            Err(_) => None,
        }
    }

    /// As often as it takes to be answered.
    pub(super) async fn call(&self, method: &str, path: &str, body: Option<&Value>) -> Answer {
        let mut again = false;
        loop {
            if let Some(answer) = self.try_call(method, path, body).await {
                return Answer { again, ..answer };
            }
            again = true;
        }
    }

    pub(super) async fn get(&self, path: &str) -> Answer {
        self.call("GET", path, None).await
    }

    /// The bytes of a file, or the status that refuses them.
    pub(super) async fn content(&self, file: &str) -> Result<Vec<u8>, u16> {
        loop {
            self.up().await;
            let url = format!("http://127.0.0.1:{}/api/files/{file}/content", self.port);
            let Ok(response) = self.http.get(url).header("x-api-key", KEY).send().await else { continue };
            let status = response.status().as_u16();
            let Ok(bytes) = response.bytes().await else { continue };
            match status {
                200 => return Ok(bytes.to_vec()),
                503 => {}
                refused => return Err(refused),
            }
        }
    }

    /// All entries of a list, page by page. Empty when there is no such list.
    pub(super) async fn all(&self, path: &str) -> Vec<Value> {
        let joint = if path.contains('?') { '&' } else { '?' };
        let mut all = Vec::new();
        let mut before = String::new();
        loop {
            let page = self.get(&format!("{path}{joint}limit=100{before}")).await.body;
            all.push(page["items"].as_array().cloned().unwrap_or_default());
            match page["next"].as_str() {
                Some(next) => before = format!("&before={next}"),
                None => return all.concat(),
            }
        }
    }

    /// All messages of a thread, oldest first.
    pub(super) async fn messages(&self, thread: &str) -> Vec<Value> {
        let mut all = self.all(&format!("/api/threads/{thread}/messages")).await;
        all.sort_by_key(|message| (message["seq"].as_i64(), message["id"].as_str().map(str::to_owned)));
        all
    }
}
