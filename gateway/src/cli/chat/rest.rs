//! The few REST calls of the terminal client: which thread is the newest, what was said in one, and what to do with a
//! run that is quarantined.

use std::time::Duration;

use reqwest::redirect::Policy;
use reqwest::{Client, Method};
use secrecy::ExposeSecret;
use serde_json::Value;

use super::connection::Server;

const PATIENCE: Duration = Duration::from_secs(30);

pub(super) struct Rest {
    server: Server,
    client: Client,
}

impl Rest {
    pub(super) fn new(server: Server) -> Result<Self, String> {
        let client = Client::builder().redirect(Policy::none()).timeout(PATIENCE).build();
        client.map(|client| Self { server, client }).map_err(|_| "no HTTP client can be made here".to_owned())
    }

    /// The thread that was used last.
    pub(super) async fn newest_thread(&self) -> Result<Option<String>, String> {
        let list = self.call(Method::GET, "/api/threads?limit=1").await?;
        Ok(list["items"][0]["id"].as_str().map(str::to_owned))
    }

    /// The newest messages of a thread, oldest first.
    pub(super) async fn messages(&self, thread: &str) -> Result<Vec<Value>, String> {
        let list = self.call(Method::GET, &format!("/api/threads/{thread}/messages?limit=20")).await?;
        let mut messages = list["items"].as_array().cloned().unwrap_or_default();
        messages.sort_by_key(|message| message["seq"].as_i64());
        Ok(messages)
    }

    /// `verb` is `retry` or `discard`.
    pub(super) async fn decide_run(&self, run: &str, verb: &str) -> Result<(), String> {
        self.call(Method::POST, &format!("/api/runs/{run}/{verb}")).await.map(drop)
    }

    async fn call(&self, method: Method, path: &str) -> Result<Value, String> {
        let mut request = self.client.request(method, self.server.at(path));
        request = request.header("x-api-key", self.server.key.expose_secret());
        if let Some(profile) = &self.server.profile {
            request = request.header("x-profile", profile);
        }
        let response = request.send().await.map_err(|_| format!("{} cannot be reached", self.server.url))?;
        let status = response.status();
        let body = response.bytes().await.map_err(|_| "the server's answer was cut off".to_owned())?;
        let value: Value = serde_json::from_slice(&body).unwrap_or_default();
        if status.is_success() {
            return Ok(value);
        }
        let detail = value["detail"].as_str().unwrap_or("no reason given");
        Err(format!("the server refuses ({}): {detail}", status.as_u16()))
    }
}
