//! Resources and prompts of a server, as their owner may look at them: capped, and never shown to a model
//! unless it asks. Deliberately absent: subscriptions to single resources.

use adjutant_core::message::without_nul;
use rmcp::model::{
    ContentBlock, GetPromptRequestParams, GetPromptResponse, JsonObject, PaginatedRequestParams, Prompt, PromptMessage,
    ReadResourceRequestParams, ReadResourceResponse, Resource, ResourceContents, Role,
};
use rmcp::service::ServiceError;
use serde::Serialize;
use tokio::time::timeout;
use utoipa::ToSchema;

use crate::failure::{CallFailure, call as call_failure};
use crate::options::Limits;
use crate::session::{PAGES, Session};

/// Names, titles, types and addresses.
const NAME_CHARS: usize = 500;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ResourceEntry {
    pub uri: String,
    pub name: String,
    pub title: Option<String>,
    pub description: Option<String>,
    pub mime_type: Option<String>,
    pub size: Option<u64>,
}

/// A part of a resource: text, or bytes in base64.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ResourcePart {
    pub uri: String,
    pub mime_type: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub blob: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct PromptEntry {
    pub name: String,
    pub title: Option<String>,
    pub description: Option<String>,
    pub arguments: Vec<PromptArgument>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct PromptArgument {
    pub name: String,
    pub description: Option<String>,
    pub required: bool,
}

/// One message of a prompt, as text.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct PromptLine {
    /// `user` or `assistant`.
    pub role: &'static str,
    pub text: String,
}

impl Session {
    /// An entry with a credential in it is none.
    fn hides(&self, entry: &impl Serialize) -> bool {
        serde_json::to_string(entry).is_ok_and(|text| self.secrets.are_in(&text))
    }

    pub(crate) async fn resources(&self, limits: &Limits) -> Result<Vec<ResourceEntry>, String> {
        let listed = async {
            let (mut entries, mut cursor) = (Vec::new(), None);
            for _ in 0..PAGES {
                let page = PaginatedRequestParams::default().with_cursor(cursor);
                let listed = self.peer.list_resources(Some(page)).await?;
                entries.extend(listed.resources.into_iter().map(resource));
                cursor = listed.next_cursor;
                if cursor.is_none() || entries.len() >= limits.tools {
                    break;
                }
            }
            entries.truncate(limits.tools);
            Ok(entries)
        };
        if !self.has_resources() {
            return Ok(Vec::new());
        }
        let entries: Vec<ResourceEntry> = within(self, listed).await?;
        Ok(entries.into_iter().filter(|entry| !self.hides(entry)).collect())
    }

    pub(crate) async fn read_resource(&self, uri: &str, limits: &Limits) -> Result<Vec<ResourcePart>, String> {
        let read = self.peer.read_resource_once(ReadResourceRequestParams::new(uri));
        match within(self, read).await? {
            ReadResourceResponse::Complete(read) => {
                let mut room = limits.result_bytes.saturating_mul(16);
                let parts = read.contents.into_iter().map_while(|part| resource_part(part, &mut room));
                let clean =
                    |part: ResourcePart| ResourcePart { text: part.text.map(|text| self.secrets.clean(text)), ..part };
                Ok(parts.map(clean).collect())
            }
            _ => Err(ASKS.to_owned()),
        }
    }

    pub(crate) async fn prompts(&self, limits: &Limits) -> Result<Vec<PromptEntry>, String> {
        let listed = async {
            let (mut entries, mut cursor) = (Vec::new(), None);
            for _ in 0..PAGES {
                let page = PaginatedRequestParams::default().with_cursor(cursor);
                let listed = self.peer.list_prompts(Some(page)).await?;
                entries.extend(listed.prompts.into_iter().map(prompt));
                cursor = listed.next_cursor;
                if cursor.is_none() || entries.len() >= limits.tools {
                    break;
                }
            }
            entries.truncate(limits.tools);
            Ok(entries)
        };
        if !self.has_prompts() {
            return Ok(Vec::new());
        }
        let entries: Vec<PromptEntry> = within(self, listed).await?;
        Ok(entries.into_iter().filter(|entry| !self.hides(entry)).collect())
    }

    pub(crate) async fn get_prompt(
        &self,
        name: &str,
        arguments: JsonObject,
        limits: &Limits,
    ) -> Result<Vec<PromptLine>, String> {
        let got = self.peer.get_prompt_once(GetPromptRequestParams::new(name).with_arguments(arguments));
        match within(self, got).await? {
            GetPromptResponse::Complete(prompt) => {
                let mut room = limits.result_bytes;
                let lines = prompt.messages.into_iter().map(|message| line(message, &mut room));
                Ok(lines.map(|line| PromptLine { text: self.secrets.clean(line.text), ..line }).collect())
            }
            _ => Err(ASKS.to_owned()),
        }
    }
}

const ASKS: &str = "it asks a person for more input, which only a run can pass on";

async fn within<T>(session: &Session, work: impl Future<Output = Result<T, ServiceError>>) -> Result<T, String> {
    let limit = session.limits().list;
    let done = timeout(limit, Box::pin(work)).await.map_err(|_| format!("no answer within {limit:?}"))?;
    done.map_err(|error| match session.secrets.clean_failure(call_failure(error)) {
        CallFailure::NotSent(reason)
        | CallFailure::Unavailable(reason)
        | CallFailure::Refused(reason)
        | CallFailure::Answered(reason)
        | CallFailure::Lost(reason) => reason,
    })
}

fn short(text: &str) -> String {
    without_nul(text.chars().take(NAME_CHARS).collect())
}

fn description(text: Option<String>, limit: usize) -> Option<String> {
    text.map(|mut text| {
        text.truncate(text.floor_char_boundary(limit));
        without_nul(text)
    })
}

fn resource(resource: Resource) -> ResourceEntry {
    ResourceEntry {
        // Whole, or it could not be read by it.
        uri: without_nul(resource.uri),
        name: short(&resource.name),
        title: resource.title.as_deref().map(short),
        description: description(resource.description, 2_048),
        mime_type: resource.mime_type.as_deref().map(short),
        size: resource.size,
    }
}

/// `None` when there is no room left.
fn resource_part(part: ResourceContents, room: &mut usize) -> Option<ResourcePart> {
    let (uri, mime_type, text, blob) = match part {
        ResourceContents::TextResourceContents { uri, mime_type, text, .. } => (uri, mime_type, Some(text), None),
        ResourceContents::BlobResourceContents { uri, mime_type, blob, .. } => (uri, mime_type, None, Some(blob)),
        _ => return None,
    };
    let length = text.as_ref().or(blob.as_ref()).map_or(0, String::len);
    // Half a file in base64 is of no use, half a text is.
    if blob.is_some() && length > *room {
        return None;
    }
    let text = text.map(|mut text| {
        text.truncate(text.floor_char_boundary(*room));
        without_nul(text)
    });
    *room = room.saturating_sub(length);
    Some(ResourcePart { uri: without_nul(uri), mime_type: mime_type.as_deref().map(short), text, blob })
}

fn prompt(prompt: Prompt) -> PromptEntry {
    let arguments = prompt.arguments.unwrap_or_default().into_iter().take(64);
    PromptEntry {
        name: without_nul(prompt.name),
        title: prompt.title.as_deref().map(short),
        description: description(prompt.description, 2_048),
        arguments: arguments
            .map(|argument| PromptArgument {
                name: without_nul(argument.name),
                description: description(argument.description, 2_048),
                required: argument.required.unwrap_or(false),
            })
            .collect(),
    }
}

fn line(message: PromptMessage, room: &mut usize) -> PromptLine {
    let role = match message.role {
        Role::Assistant => "assistant",
        Role::User => "user",
    };
    let mut text = match message.content {
        ContentBlock::Text(text) => text.text,
        ContentBlock::Resource(embedded) => match embedded.resource {
            ResourceContents::TextResourceContents { text, .. } => text,
            _ => "[resource]".to_owned(),
        },
        ContentBlock::Image(_) => "[image]".to_owned(),
        ContentBlock::Audio(_) => "[audio]".to_owned(),
        ContentBlock::ResourceLink(link) => format!("[resource link {}]", short(&link.uri)),
        _ => "[content of an unknown kind]".to_owned(),
    };
    text.truncate(text.floor_char_boundary(*room));
    *room -= text.len();
    PromptLine { role, text: without_nul(text) }
}
