//! What the server sends.

use adjutant_core::ids::{MessageId, RunId, ThreadId};
use serde::Serialize;
use utoipa::ToSchema;

use super::ag_ui::AgUi;

/// What the server sends over the WebSocket
#[derive(Debug, Clone, Serialize, ToSchema)]
#[serde(tag = "type", rename_all = "lowercase")]
pub enum ServerFrame<'a> {
    /// The message is committed and will be answered.
    #[serde(rename_all = "camelCase")]
    Ack {
        client_message_id: &'a str,
        thread_id: ThreadId,
        message_id: MessageId,
        run_id: RunId,
        seq: i64,
    },
    Event(EventFrame<'a>),
    #[serde(rename_all = "camelCase")]
    Error {
        code: &'a str,
        message: &'a str,
        #[serde(skip_serializing_if = "Option::is_none")]
        #[schema(nullable = false)]
        client_message_id: Option<&'a str>,
    },
    /// The answer to `ping`.
    Pong {},
}

/// One AG-UI event and its place.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct EventFrame<'a> {
    pub thread_id: ThreadId,
    /// Absent: the event is about the thread itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub run_id: Option<RunId>,
    /// The number of the durable event that is complete with this frame.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub seq: Option<i64>,
    /// Where the text of a content event belongs: UTF-16 code units of its message before it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub offset: Option<usize>,
    pub event: AgUi<'a>,
}

impl ServerFrame<'_> {
    pub fn to_text(&self) -> String {
        // These types hold nothing that JSON cannot say.
        serde_json::to_string(self).unwrap_or_default()
    }
}
