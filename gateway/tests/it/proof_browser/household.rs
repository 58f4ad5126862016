//! The tools of a household as people have them, and what a model does with them: for a page that looks as it will at
//! home. One process with an MCP server (Streamable HTTP, JSON answers) for each of calendar, rail and mail.

use axum::extract::Path;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use axum::{Json, Router};
use serde_json::{Value, json};

use adjutant_testkit::provider::{Piece, Reply};

/// What begins the scene.
pub(super) const ASKED: &str = "Find me a night train to Hamburg";

/// What the model does then, round by round.
pub(super) fn scene(round: usize, in_pieces: impl Fn(&str) -> Vec<Piece>) -> Reply {
    let call = |name: &str, arguments: Value| Piece::Call {
        id: format!("call_{round}"),
        name: name.to_owned(),
        arguments: arguments.to_string(),
    };
    match round {
        0 => {
            let thought = "They want to arrive on the 14th. First the calendar: until when are they busy on the 13th?";
            let asked = json!({"from": "13 January", "until": "16 January"});
            Reply::Stream(vec![Piece::Think(thought.to_owned()), call("calendar__find_free_time", asked)])
        }
        1 => Reply::Stream(vec![call("rail__search", json!({"to": "Hamburg", "arrive": "Thursday 14 January"}))]),
        2 => {
            let mut pieces = in_pieces(TRAINS);
            let text = "Hi Jonas, I arrive on Thursday 14 January at 07:53. Breakfast? Mara";
            let mail = json!({"to": "jonas@example.com", "subject": "Hamburg on the 14th", "text": text});
            pieces.push(call("mail__send_message", mail));
            Reply::Stream(pieces)
        }
        _ => Reply::text("Jonas has the message. Nothing is booked yet: say which one."),
    }
}

const TRAINS: &str = "Two night trains reach Hamburg on **Thursday 14 January**. The first is cheaper and direct:\n\n\
| Leaves | Arrives | Changes | From |\n| --- | --- | --- | --- |\n| Wed 19:59 | Thu 07:53 | none | **$64** |\n\
| Wed 21:12 | Thu 09:37 | 1, Basel | $79 |\n\n\
Your calendar is free from 18:00 that day. I have **not** bought anything; a seat can be held until tonight.\n";

/// Serves them; their base address. An endpoint is `BASE/NAME/mcp`.
pub(super) async fn start() -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let app = Router::new().route("/{server}/mcp", post(answer));
    tokio::spawn(async move { axum::serve(listener, app).await });
    format!("http://{address}")
}

async fn answer(Path(server): Path<String>, body: String) -> Response {
    let request: Value = serde_json::from_str(&body).unwrap();
    let Some(id) = request.get("id") else { return StatusCode::ACCEPTED.into_response() };
    let result = match request["method"].as_str().unwrap_or_default() {
        "initialize" => json!({
            "protocolVersion": "2025-06-18",
            "capabilities": {"tools": {}},
            "serverInfo": {"name": server, "version": "1"},
        }),
        "tools/list" => json!({"tools": [tool(&server)]}),
        "tools/call" => json!({"content": [{"type": "text", "text": done(&server)}]}),
        _ => json!({}),
    };
    Json(json!({"jsonrpc": "2.0", "id": id, "result": result})).into_response()
}

fn tool(server: &str) -> Value {
    let (name, description, fields) = match server {
        "calendar" => ("find_free_time", "Finds when nothing is planned.", vec!["from", "until"]),
        "rail" => ("search", "Finds trains.", vec!["to", "arrive"]),
        _ => ("send_message", "Sends an e-mail from your address.", vec!["to", "subject", "text"]),
    };
    let properties: serde_json::Map<String, Value> =
        fields.iter().map(|field| ((*field).to_owned(), json!({"type": "string"}))).collect();
    let schema = json!({"type": "object", "properties": properties, "required": fields});
    json!({
        "name": name,
        "description": description,
        "inputSchema": schema,
        "annotations": {"readOnlyHint": server != "mail"},
    })
}

fn done(server: &str) -> &'static str {
    match server {
        "calendar" => "Free: 13 January from 18:00, 14 January until noon.",
        "rail" => "19:59-07:53 direct 64 USD; 21:12-09:37 via Basel 79 USD",
        _ => "sent",
    }
}
