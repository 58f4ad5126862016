//! Files in messages of the OpenAI door: stored once as the owner's, however often a client sends its history, and on the
//! wire of the model's provider.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use adjutant_core::ids::FileId;
use adjutant_core::limits;
use adjutant_core::scope::Role;

use crate::openai_support::{Said, assistant, chat, streamed, user};
use crate::server::{KEY, TestServer, answer};
use crate::wires::{Says, Wires};

const PNG: &[u8] = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0\x01";
const PDF: &[u8] = b"%PDF-1.7\n1 0 obj\n<<>>\nendobj\n";

struct Desk {
    server: TestServer,
    wires: Wires,
}

impl Desk {
    async fn new() -> Self {
        let wires = Wires::start(|_| Says::text("seen")).await;
        let settings = wires.settings("anthropic/claude-x");
        let settings: Vec<(&str, &str)> = settings.iter().map(|(name, value)| (*name, value.as_str())).collect();
        Self { server: TestServer::start_with(&settings).await, wires }
    }

    async fn ask(&self, body: &Value, headers: &[(&str, &str)]) -> Said {
        let mut request = self.server.request("POST", "/v1/chat/completions").bearer_auth(KEY).json(body);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        Said::read(request.send().await.unwrap()).await
    }

    /// Name, media type and how many messages name it, of each stored file.
    async fn files(&self) -> Vec<(String, String, i64)> {
        sqlx::query_as(
            "select f.name, f.media_type, (select count(*) from message_files m where m.file_id = f.id) from files f order by f.name",
        )
        .fetch_all(&self.server.db.admin())
        .await
        .unwrap()
    }

    /// The content of the first message of the user in the newest request to the provider, without text.
    fn seen(&self) -> Vec<Value> {
        let asked = self.wires.asked().pop().unwrap();
        let content = asked.of_user()[0]["content"].as_array().cloned().unwrap_or_default();
        content.into_iter().filter(|part| part["type"] != "text").collect()
    }
}

fn data(media: &str, content: &[u8]) -> String {
    format!("data:{media};base64,{}", STANDARD.encode(content))
}

/// A picture, a document and a note with the question.
fn asks() -> Value {
    json!({"role": "user", "content": [
        {"type": "text", "text": "what is this?"},
        {"type": "image_url", "image_url": {"url": data("image/png", PNG), "detail": "low"}},
        {"type": "file", "file": {"filename": "paper.pdf", "file_data": data("application/pdf", PDF)}},
        {"type": "file", "file": {"filename": "note.md", "file_data": STANDARD.encode("the code is 4711")}},
    ]})
}

fn blocks() -> Vec<Value> {
    let source =
        |media: &str, data: &[u8]| json!({"type": "base64", "media_type": media, "data": STANDARD.encode(data)});
    vec![
        json!({"type": "image", "source": source("image/png", PNG)}),
        json!({"type": "document", "source": source("application/pdf", PDF)}),
    ]
}

#[tokio::test]
async fn files_of_a_history_are_stored_once_and_reach_the_model_each_time() {
    let desk = Desk::new().await;
    let first = desk.ask(&chat(&[asks()]), &[]).await;
    assert_eq!((first.status, first.text().as_str()), (200, "seen"), "{first:?}");
    assert_eq!(desk.seen(), blocks());
    let text = desk.wires.asked()[0].of_user()[0]["content"].to_string();
    assert!(text.contains("<attached_file name=\\\"note.md\\\">\\nthe code is 4711\\n</attached_file>"), "{text}");
    let stored = |named: i64| {
        let file = |name: &str, media: &str| (name.to_owned(), media.to_owned(), named);
        vec![file("image.png", "image/png"), file("note.md", "text/plain"), file("paper.pdf", "application/pdf")]
    };
    assert_eq!(desk.files().await, stored(1));

    // Without a thread the whole history is one of its own: further messages, and the same files.
    let history = [asks(), assistant("seen"), user("and now?")];
    let again = desk.ask(&streamed(&chat(&history)), &[]).await;
    assert_eq!((again.status, again.done), (200, true), "{again:?}");
    assert_eq!(desk.seen(), blocks());
    assert_eq!(desk.files().await, stored(2));

    // With it the two agree on what was said, and only what is new is stored.
    let thread = [("x-thread-id", first.thread())];
    let third = desk.ask(&chat(&history), &thread).await;
    assert_eq!((third.status, third.thread()), (200, first.thread()), "{third:?}");
    assert_eq!(desk.seen(), blocks(), "the thread has them");
    assert_eq!(desk.files().await, stored(2));
    let messages = desk.server.get(&format!("/api/threads/{}/messages", first.thread()), KEY).await.body;
    let kinds: Vec<&Value> =
        messages["items"][0]["content"].as_array().unwrap().iter().map(|part| &part["type"]).collect();
    assert_eq!(kinds, ["text", "file", "file", "file"]);
    assert_eq!(messages["items"].as_array().unwrap().len(), 4);
    let parted = desk.ask(&chat(&[asks(), assistant("never said"), asks()]), &thread).await;
    parted.is_error(409, "thread_conflict", "another history");
    desk.server.stop().await;
}

#[tokio::test]
async fn a_file_is_named_by_its_id_and_only_by_its_owner() {
    let desk = Desk::new().await;
    let upload = async |key: &str| {
        let request = desk.server.request("POST", "/api/files?name=cat.png").bearer_auth(key);
        answer(request.body(PNG)).await.body["id"].clone()
    };
    let named = |id: &Value| chat(&[json!({"role": "user", "content": [{"type": "file", "file": {"file_id": id}}]})]);
    let mine = upload(KEY).await;
    let asked = desk.ask(&named(&mine), &[]).await;
    assert_eq!(asked.status, 200, "{asked:?}");
    assert_eq!(desk.seen()[0]["type"], "image", "a file needs no words beside it");
    let ben = desk.server.key("ben", "personal", Role::Personal).await.secret;
    for id in [upload(&ben).await, json!(FileId::new())] {
        desk.ask(&named(&id), &[]).await.is_error(404, "file_not_found", "a foreign or unknown file");
    }
    assert_eq!(desk.wires.asked().len(), 1);
    desk.server.stop().await;
}

#[tokio::test]
async fn what_is_refused_is_named_and_stores_nothing() {
    let desk = Desk::new().await;
    let image = |url: &str| json!({"type": "image_url", "image_url": {"url": url}});
    let good = image(&data("image/png", PNG));
    for (part, status, code, param) in [
        (image("https://example.org/cat.png"), 400, "url_not_fetched", "image_url.url"),
        (image("http://127.0.0.1:1/cat.png"), 400, "url_not_fetched", "image_url.url"),
        (image("data:image/png;base64,!"), 400, "invalid_base64", "image_url.url"),
        (image(&data("image/png", b"\x7fELF\x02\x01\x01\0")), 415, "unsupported_file_type", "image_url.url"),
        (json!({"type": "file", "file": {"filename": "x", "file_data": ""}}), 400, "file_empty", "file.file_data"),
        (json!({"type": "file", "file": {"filename": "x"}}), 400, "invalid_value", "file"),
        (json!({"type": "input_audio", "input_audio": {}}), 400, "unsupported_value", "type"),
    ] {
        let refused = desk.ask(&chat(&[json!({"role": "user", "content": [good, part]})]), &[]).await;
        refused.is_error(status, code, &part.to_string());
        assert_eq!(refused.body["error"]["param"], json!(format!("messages[0].content[1].{param}")));
    }
    let many = vec![good.clone(); limits::MESSAGE_FILES + 1];
    let refused = desk.ask(&chat(&[json!({"role": "user", "content": many})]), &[]).await;
    refused.is_error(400, "too_many_files", "more than a message may have");
    let of_others = json!({"role": "assistant", "content": [good]});
    desk.ask(&chat(&[of_others, user("hi")]), &[]).await.is_error(400, "unsupported_value", "of somebody else");
    assert_eq!((desk.files().await, desk.wires.asked().len()), (Vec::new(), 0));

    // No room: the whole request is refused, and the file that came first is not there either.
    let filled = answer(desk.server.request("POST", "/api/files?name=a.txt").bearer_auth(KEY).body("a")).await;
    assert_eq!(filled.status, 201);
    let size = i64::try_from(limits::USER_FILE_BYTES).unwrap() - i64::try_from(PNG.len()).unwrap();
    sqlx::query("update files set size = $1").bind(size).execute(&desk.server.db.admin()).await.unwrap();
    desk.ask(&chat(&[asks()]), &[]).await.is_error(409, "file_quota", "no room");
    assert_eq!(desk.files().await.len(), 1);
    desk.server.stop().await;
}
