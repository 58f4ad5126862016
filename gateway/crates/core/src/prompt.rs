//! Builds the model's context from a thread's tail, under a budget. Pure: equal input, equal prompt,
//! so that a provider's prompt cache stays warm.

pub mod files;
pub mod summary;
pub mod title;

use std::collections::HashMap;
use std::sync::Arc;

use chrono_tz::Tz;

use crate::ids::ToolCallId;
use crate::message::{ForeignText, Message, OutcomeKind, Part, Role, ToolCallPart, ToolResultPart};
use crate::model::PromptMessage;
use crate::run::typed::Typed;

/// The default system prompt.
pub const SYSTEM: &str = include_str!("../prompts/system.md");

/// What stands before the conversation in every prompt of a profile. It changes seldom, and so do the
/// prompts that begin with it: nothing in it may depend on the time, and of the conversation only the summary is in it.
#[derive(Debug, Clone, Copy)]
pub struct Opening<'a> {
    pub system: &'a str,
    pub user_context: Option<&'a str>,
    /// What stands for the messages before the tail.
    pub summary: Option<&'a str>,
    /// The person's, for the line that says when they sent a message.
    pub zone: Tz,
}

/// The prompt for the next model call: the opening, then as much of the tail as fits into `budget` bytes of
/// text with the summary, which stands at the head of the first message of the user. `tail` is in order, oldest first.
///
/// The time stands at the end of each message that the person sent, as the time of that message. So the
/// model knows what time it is, and yesterday's prompt is still the beginning of today's.
///
/// Every tool call in the prompt has exactly one result, whatever the thread holds: a missing one
/// is filled in, one without a call is left out.
pub fn build(opening: &Opening<'_>, tail: &[Arc<Message>], budget: usize) -> Vec<PromptMessage> {
    let mut prompt = vec![PromptMessage { role: Role::System, parts: vec![Part::text(opened(opening))] }];
    let mut summary = opening.summary.map(summary::shown);
    let kept = &tail[first_kept(tail, budget.saturating_sub(summary.as_ref().map_or(0, String::len)))..];
    let mut results = results_by_call(kept);
    for (index, message) in kept.iter().enumerate() {
        match message.role {
            Role::System => prompt.push(PromptMessage { role: message.role, parts: vec![Part::text(message.text())] }),
            Role::User => {
                // It may quote others, and so it is no part of the system prompt; not every model takes it by itself.
                let mut text = summary.take().unwrap_or_default() + &message.text();
                // Of messages that came together, as a caller's own history does, the last was sent now.
                if kept.get(index + 1).is_none_or(|next| next.seq != message.seq) {
                    text.push_str(&sent(message, opening.zone));
                }
                let mut parts = vec![Part::text(text)];
                parts.extend(message.files().cloned().map(Part::File));
                prompt.push(PromptMessage { role: message.role, parts });
            }
            Role::Assistant => push_answer(&mut prompt, message, &mut results),
            Role::Tool => {}
        }
    }
    if let Some(text) = summary {
        prompt.insert(1, PromptMessage { role: Role::User, parts: vec![Part::text(text)] });
    }
    prompt
}

/// Whether the prompt made of this tail holds text that others wrote: from tools, in files, quoted or forwarded.
pub fn holds_foreign_text(tail: &[Arc<Message>]) -> bool {
    tail.iter().any(|message| message.role == Role::Tool || brings_foreign_text(message.role, &message.parts))
}

/// Whether a message of a user brings text of others.
pub fn brings_foreign_text(role: Role, parts: &[Part]) -> bool {
    let foreign = |part: &Part| {
        if let Part::Text { text } = part {
            return role == Role::User && Typed::of(text).holds_foreign_text;
        }
        matches!(part, Part::File(_) | Part::ToolResult(_))
    };
    parts.iter().any(foreign)
}

fn opened(opening: &Opening<'_>) -> String {
    let Some(context) = opening.user_context else { return opening.system.to_owned() };
    let context = context.replace("</user_context", "<\\/user_context");
    format!("{}\n\n<user_context>\n{}\n</user_context>", opening.system.trim_end(), context.trim_end())
}

fn sent(message: &Message, zone: Tz) -> String {
    let at = message.created_at.with_timezone(&zone);
    format!("\n\n[sent {}, {}]", at.format("%A %Y-%m-%d %H:%M"), zone.name())
}

/// The oldest message that fits, moved on to a message of the user. The newest message of the user
/// and what follows it always stay.
fn first_kept(tail: &[Arc<Message>], budget: usize) -> usize {
    let starts = |message: &Message| matches!(message.role, Role::User | Role::System);
    let newest = tail.iter().rposition(|message| message.role == Role::User).unwrap_or(0);
    let mut first = newest;
    let mut used = 0;
    for (index, message) in tail.iter().enumerate().rev() {
        used += size(message);
        if used > budget {
            break;
        }
        if index <= newest && starts(message) {
            first = index;
        }
    }
    first
}

fn size(message: &Message) -> usize {
    let part_size = |part: &Part| match part {
        Part::Text { text } => text.len(),
        Part::ToolCall(call) => call.name.len() + call.arguments.to_string().len(),
        Part::ToolResult(result) => result.content.as_str().len(),
        Part::File(file) => file.name.len(),
        Part::Thinking(thinking) => {
            thinking.text.len()
                + [&thinking.signature, &thinking.redacted].into_iter().flatten().map(String::len).sum::<usize>()
        }
    };
    message.parts.iter().map(part_size).sum()
}

fn results_by_call(messages: &[Arc<Message>]) -> HashMap<ToolCallId, &ToolResultPart> {
    let parts = messages.iter().filter(|message| message.role == Role::Tool).flat_map(|message| &message.parts);
    parts
        .filter_map(|part| match part {
            Part::ToolResult(result) => Some((result.call_id, result)),
            _ => None,
        })
        .collect()
}

fn push_answer(prompt: &mut Vec<PromptMessage>, message: &Message, results: &mut HashMap<ToolCallId, &ToolResultPart>) {
    let mut parts = Vec::new();
    let mut text = message.text();
    if message.partial && !text.is_empty() {
        text.push_str("\n[this answer was cut off]");
    }
    if !text.is_empty() {
        parts.push(Part::text(text));
    }
    let calls: Vec<&ToolCallPart> = message.tool_calls().collect();
    parts.extend(calls.iter().map(|call| Part::ToolCall((*call).clone())));
    if parts.is_empty() {
        return;
    }
    // A thought comes before what it led to; without that it is of no use to anybody.
    let thinking = message.thinking().cloned().map(Part::Thinking);
    let parts = thinking.chain(parts).collect();
    prompt.push(PromptMessage { role: Role::Assistant, parts });
    for call in calls {
        let result = match results.remove(&call.id) {
            Some(result) => fenced(result),
            None => missing(call),
        };
        prompt.push(PromptMessage { role: Role::Tool, parts: vec![Part::ToolResult(result)] });
    }
}

fn missing(call: &ToolCallPart) -> ToolResultPart {
    fenced(&ToolResultPart {
        call_id: call.id,
        provider_id: call.provider_id.clone(),
        name: call.name.clone(),
        outcome: OutcomeKind::Unknown,
        content: ForeignText::new("no result was recorded for this call"),
        truncated: false,
    })
}

/// The result with its text between marks that the text itself cannot close.
fn fenced(result: &ToolResultPart) -> ToolResultPart {
    let text = result.content.as_str().replace("</tool_output", "<\\/tool_output");
    let cut = if result.truncated { "\n[cut: the result was longer]" } else { "" };
    let outcome = result.outcome.as_str();
    let content = format!("<tool_output outcome=\"{outcome}\">\n{text}{cut}\n</tool_output>");
    ToolResultPart { content: ForeignText::new(content), ..result.clone() }
}

#[cfg(test)]
mod tests;
