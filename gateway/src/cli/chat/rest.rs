//! The REST calls of the terminal client: threads, what was said in one, files, and what to do with a run that is
//! quarantined.

use std::time::Duration;

use reqwest::header::CONTENT_TYPE;
use reqwest::redirect::Policy;
use reqwest::{Client, Method, RequestBuilder};
use secrecy::ExposeSecret;
use serde_json::{Value, json};

use super::connection::Server;

/// A slow line may need this long for a large file.
const UPLOAD: Duration = Duration::from_secs(300);
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

    /// The newest threads, newest first.
    pub(super) async fn threads(&self, most: usize) -> Result<Vec<Value>, String> {
        let list = self.call(Method::GET, &format!("/api/threads?limit={most}")).await?;
        Ok(list["items"].as_array().cloned().unwrap_or_default())
    }

    pub(super) async fn rename(&self, thread: &str, title: &str) -> Result<(), String> {
        let path = format!("/api/threads/{thread}");
        self.send(self.request(Method::PATCH, &path).json(&json!({"title": title}))).await.map(drop)
    }

    /// Messages that hold these words, newest first.
    pub(super) async fn search(&self, words: &str) -> Result<Vec<Value>, String> {
        let query: String = url::form_urlencoded::Serializer::new(String::new()).append_pair("q", words).finish();
        let list = self.call(Method::GET, &format!("/api/search?{query}&limit=20")).await?;
        Ok(list["items"].as_array().cloned().unwrap_or_default())
    }

    /// The newest messages of a thread's active branch, oldest first.
    pub(super) async fn messages(&self, thread: &str) -> Result<Vec<Value>, String> {
        let list = self.call(Method::GET, &format!("/api/threads/{thread}/messages?branch=head&limit=20")).await?;
        let mut messages = list["items"].as_array().cloned().unwrap_or_default();
        messages.sort_by_key(|message| message["seq"].as_i64());
        Ok(messages)
    }

    /// The id of a file that the server has now.
    pub(super) async fn upload(&self, name: &str, bytes: Vec<u8>) -> Result<String, String> {
        let query: String = url::form_urlencoded::Serializer::new(String::new()).append_pair("name", name).finish();
        let request = self.request(Method::POST, &format!("/api/files?{query}")).timeout(UPLOAD).body(bytes);
        let file = self.send(request.header(CONTENT_TYPE, "application/octet-stream")).await?;
        file["id"].as_str().map(str::to_owned).ok_or_else(|| "the server does not say which file it is".to_owned())
    }

    /// `verb` is `retry` or `discard`.
    pub(super) async fn decide_run(&self, run: &str, verb: &str) -> Result<(), String> {
        self.call(Method::POST, &format!("/api/runs/{run}/{verb}")).await.map(drop)
    }

    async fn call(&self, method: Method, path: &str) -> Result<Value, String> {
        self.send(self.request(method, path)).await
    }

    fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let mut request = self.client.request(method, self.server.at(path));
        request = request.header("x-api-key", self.server.key.expose_secret());
        match &self.server.profile {
            Some(profile) => request.header("x-profile", profile),
            None => request,
        }
    }

    async fn send(&self, request: RequestBuilder) -> Result<Value, String> {
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
