//! Nothing that must stay secret reaches an error, the log or a debug print.

use std::io;
use std::sync::{Arc, Mutex};

use serde_json::json;
use tracing_subscriber::fmt::MakeWriter;

use crate::fake::{Fake, Step, event, plain, send, stream_head, text};
use crate::support::{KEY, impatient, settings, tell};

#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Log {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

#[tokio::test]
async fn keys_addresses_and_bodies_reach_no_error_and_no_log() {
    let log = Log::default();
    let subscriber = tracing_subscriber::fmt().with_writer(log.clone()).with_max_level(tracing::Level::TRACE).finish();
    let _guard = tracing::subscriber::set_default(subscriber);

    let secret = format!("BODY-CANARY {KEY} sk-CANARY https://canary.example/?key=CANARY");
    let error = json!({"error": {"message": secret, "type": secret}}).to_string();
    let replies = vec![
        plain(500, "", &error),
        plain(400, "", &format!(r#"{{"error":{{"message":"no {KEY} sk-CANARY https://canary.example/CANARY"}}}}"#)),
        plain(401, "", &error),
        plain(302, "location: http://canary.example/CANARY\r\n", &error),
        vec![stream_head(), event(&text("CANARY")), send(format!("data: {error}\n\n")), Step::Close],
        vec![stream_head(), send(format!("data: {secret}\n\n")), Step::Close],
        vec![stream_head(), event(&text("CANARY")), Step::Hang],
        vec![Step::Close],
    ];
    for reply in replies {
        let fake = Fake::start(vec![reply]).await;
        let error = tell(&impatient(&fake, 2), "PROMPT-CANARY").await.end.unwrap_err();
        for secret in ["CANARY", "canary", fake.address.as_str()] {
            assert!(!format!("{error:?}").contains(secret), "{error:?}");
            let log = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
            assert!(!log.contains(secret), "{log}");
        }
    }
    let log = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
    assert!(log.contains("asking the model again"), "the log is looked at: {log}");
    assert!(!format!("{:?}", settings("http://127.0.0.1:1/v1")).contains(KEY));
}
