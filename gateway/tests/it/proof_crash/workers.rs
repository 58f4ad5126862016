//! What people do meanwhile: each worker is one person with a habit, who checks what was acknowledged to them.

pub(super) mod edits;
pub(super) mod habits;
pub(super) mod talks;
pub(super) mod uploads;

use adjutant_testkit::provider::{Reply, Turn};
use serde_json::json;

/// The model. The first letter of the message says whose it is, and the word names the keys of its calls.
///
/// `t`: two tools at once, then one that asks for consent, then the answer. `h`: one that reads, then one that asks unless it
/// was allowed for good, both of the person's own server. All others: an answer.
pub(super) fn script(turn: &Turn) -> Reply {
    let said = turn.last_user();
    let word = said.split_whitespace().next().unwrap_or_default();
    let key = |call: &str| json!({"key": format!("{word}{call}")});
    match (word.chars().next(), turn.round()) {
        (Some('t'), 0) => Reply::calls(&[("effects__effect", key("a")), ("effects__look", key("b"))]),
        (Some('t'), 1) => Reply::call("effects__effect", &key("c")),
        (Some('h'), 0) => Reply::call(&format!("{}__look", habits::server_of(word)), &key("b")),
        (Some('h'), 1) => Reply::call(&format!("{}__effect", habits::server_of(word)), &key("c")),
        _ => Reply::text(&format!("done {word}")),
    }
}
