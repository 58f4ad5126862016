//! From the engine's events to frames. One durable event may become several frames; only the last bears its number, so
//! that a client which was cut in between is sent all of them again.

use std::borrow::Cow;

use adjutant_core::ids::{MessageId, RunId, ThreadId};
use adjutant_core::message::{FilePart, Message, Part, Role};
use adjutant_core::model::Usage;
use adjutant_engine::events::event::{Delta, Event, EventBody, FinishedOutcome, Progress};

use super::ag_ui::{
    AgUi, EndMetadata, FileMetadata, FileSource, Forwarded, InputBody, InputCall, InputContent, InputFunction,
    InputMessage, InputMetadata, InputPart, ReasoningId, ResultMetadata, RunInput, RunOutcome, TokenUsage,
};
use super::custom::{
    ApprovalDecided, ApprovalRequested, CopiedFrom, Custom, MessagesCopied, QuestionAnswered, QuestionAsked, RunState,
    StateName, ThreadChanged, ToolProgress,
};
use super::server::EventFrame;

/// What of an answer the client has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Has {
    Nothing,
    /// It was sent while it was written.
    AllText,
    /// What was thought before it was sent while it was thought; the text was not.
    AllThinking,
    All,
}

/// The frames of a durable event.
pub fn durable(thread: ThreadId, event: &Event, has: Has) -> Vec<EventFrame<'_>> {
    let mut events = Vec::new();
    expand(thread, event, has, &mut events);
    let last = events.len().saturating_sub(1);
    let mut frames = Vec::with_capacity(events.len());
    for (index, expanded) in events.into_iter().enumerate() {
        frames.push(EventFrame {
            thread_id: thread,
            run_id: event.run_id,
            seq: (index == last).then_some(event.seq),
            offset: expanded.is_content().then_some(0),
            event: expanded,
        });
    }
    frames
}

/// The beginning of an answer that is being written.
pub fn begun(delta: &Delta) -> EventFrame<'static> {
    let event = AgUi::TextMessageStart { message_id: delta.message, role: "assistant" };
    EventFrame { thread_id: delta.thread, run_id: Some(delta.run), seq: None, offset: None, event }
}

/// A piece of an answer that is being written: `text` at `offset`.
pub fn written<'a>(delta: &Delta, offset: usize, text: &'a str) -> EventFrame<'a> {
    let event = AgUi::TextMessageContent { message_id: delta.message, delta: Cow::Borrowed(text) };
    EventFrame { thread_id: delta.thread, run_id: Some(delta.run), seq: None, offset: Some(offset), event }
}

/// The beginning of what a model thinks before its answer.
pub fn thinking_begun(delta: &Delta) -> [EventFrame<'static>; 2] {
    let message_id = ReasoningId(delta.message);
    let events = [AgUi::ReasoningStart { message_id }, AgUi::ReasoningMessageStart { message_id, role: "reasoning" }];
    events.map(|event| EventFrame { thread_id: delta.thread, run_id: Some(delta.run), seq: None, offset: None, event })
}

/// A piece of it: `text` at `offset`.
pub fn thought<'a>(delta: &Delta, offset: usize, text: &'a str) -> EventFrame<'a> {
    let message_id = ReasoningId(delta.message);
    let event = AgUi::ReasoningMessageContent { message_id, delta: Cow::Borrowed(text) };
    EventFrame { thread_id: delta.thread, run_id: Some(delta.run), seq: None, offset: Some(offset), event }
}

/// Its end: the answer begins, or there is none.
pub fn thinking_ended(thread_id: ThreadId, run: RunId, message: MessageId) -> [EventFrame<'static>; 2] {
    let message_id = ReasoningId(message);
    let events = [AgUi::ReasoningMessageEnd { message_id }, AgUi::ReasoningEnd { message_id }];
    events.map(|event| EventFrame { thread_id, run_id: Some(run), seq: None, offset: None, event })
}

/// All that a model thought before this answer, as far as its provider shows it.
pub fn thinking_of(message: &Message) -> String {
    message.thinking().map(|thinking| thinking.text.as_str()).collect()
}

/// How far a tool call is: live, without a number.
pub fn progress(progress: &Progress) -> EventFrame<'_> {
    let event = AgUi::Custom(Custom::ToolProgress(ToolProgress {
        tool_call_id: progress.call,
        progress: progress.progress,
        total: progress.total,
        message: progress.message.as_deref(),
    }));
    EventFrame { thread_id: progress.thread, run_id: Some(progress.run), seq: None, offset: None, event }
}

fn expand<'a>(thread_id: ThreadId, event: &'a Event, has: Has, out: &mut Vec<AgUi<'a>>) {
    match event.run_id {
        Some(run_id) => expand_of_run(thread_id, run_id, event, has, out),
        None => expand_of_thread(event, out),
    }
}

/// What is about the thread itself.
fn expand_of_thread<'a>(event: &'a Event, out: &mut Vec<AgUi<'a>>) {
    match &event.body {
        EventBody::ThreadChanged { title, head_id, summary_to, pinned, archived, folder, deleted_at } => {
            out.push(AgUi::Custom(Custom::ThreadChanged(ThreadChanged {
                title: title.as_deref(),
                head_id: *head_id,
                summary_to: *summary_to,
                pinned: *pinned,
                archived: *archived,
                folder: folder.as_deref(),
                deleted_at: *deleted_at,
            })));
        }
        EventBody::MessagesCopied { from_thread, from_message } => {
            let messages = event.messages.iter().map(|message| announced(message)).collect();
            let from = CopiedFrom { thread_id: *from_thread, message_id: *from_message };
            out.push(AgUi::Custom(Custom::MessagesCopied(MessagesCopied { from, messages })));
        }
        // The others are those of a run.
        _ => {}
    }
}

fn expand_of_run<'a>(thread_id: ThreadId, run_id: RunId, event: &'a Event, has: Has, out: &mut Vec<AgUi<'a>>) {
    match &event.body {
        EventBody::ThreadChanged { .. } | EventBody::MessagesCopied { .. } => expand_of_thread(event, out),
        EventBody::RunStarted { queued, answers } => {
            let messages = event.messages.iter().map(|message| announced(message)).collect();
            let forwarded_props = answers.map(|answers| Forwarded { answers });
            let input = RunInput { thread_id, run_id, messages, tools: [], context: [], forwarded_props };
            out.push(AgUi::RunStarted { thread_id, run_id, input });
            if *queued {
                out.push(state(StateName::Queued, None, None, None));
            }
        }
        EventBody::RunRevised { .. } => {
            let messages = event.messages.iter().map(|message| announced(message)).collect();
            let input = RunInput { thread_id, run_id, messages, tools: [], context: [], forwarded_props: None };
            out.push(AgUi::RunStarted { thread_id, run_id, input });
            out.push(state(StateName::Queued, None, None, None));
        }
        EventBody::RunState { state: name, reason, parent_id } => {
            out.push(state((*name).into(), reason.as_deref(), None, *parent_id));
        }
        EventBody::Answer => event.messages.iter().for_each(|message| answer(message, has, out)),
        EventBody::ToolResult => event.messages.iter().for_each(|message| results(message, out)),
        EventBody::ApprovalRequested { .. }
        | EventBody::ApprovalDecided { .. }
        | EventBody::QuestionAsked { .. }
        | EventBody::QuestionAnswered { .. } => out.extend(asked(&event.body).map(AgUi::Custom)),
        EventBody::RunJoined { into, parent_id } => {
            out.push(state(StateName::Joined, None, Some(*into), *parent_id));
        }
        EventBody::RunFinished { outcome, model, usage } => {
            let outcome = match outcome {
                FinishedOutcome::Success => RunOutcome::Success,
                FinishedOutcome::Cancelled => RunOutcome::Cancelled,
            };
            out.push(AgUi::RunFinished { thread_id, run_id, outcome, usage: [tokens(*usage, model.as_deref())] });
        }
        EventBody::RunFailed { code, message, usage } => {
            out.push(AgUi::RunError { message, code, usage: [tokens(*usage, None)] });
        }
    }
}

fn state(
    state: StateName,
    reason: Option<&str>,
    joined_run_id: Option<RunId>,
    parent_id: Option<MessageId>,
) -> AgUi<'_> {
    AgUi::Custom(Custom::RunState(RunState { state, reason, joined_run_id, parent_id }))
}

/// What a person is asked, and what came of it.
fn asked(body: &EventBody) -> Option<Custom<'_>> {
    Some(match body {
        EventBody::ApprovalRequested { approval_id, tool_call_id, name, server, tool, arguments, risk, why } => {
            Custom::ApprovalRequested(ApprovalRequested {
                approval_id: *approval_id,
                tool_call_id: *tool_call_id,
                name,
                server,
                tool,
                arguments,
                risk: *risk,
                why: *why,
            })
        }
        EventBody::ApprovalDecided { approval_id, tool_call_id, decision } => {
            let (approval_id, tool_call_id) = (*approval_id, *tool_call_id);
            Custom::ApprovalDecided(ApprovalDecided { approval_id, tool_call_id, decision })
        }
        EventBody::QuestionAsked { question_id, tool_call_id, name, question } => {
            Custom::QuestionAsked(QuestionAsked {
                question_id: *question_id,
                tool_call_id: *tool_call_id,
                name,
                message: &question.message,
                fields: &question.fields,
            })
        }
        EventBody::QuestionAnswered { question_id, tool_call_id, action } => {
            let (question_id, tool_call_id) = (*question_id, *tool_call_id);
            Custom::QuestionAnswered(QuestionAnswered { question_id, tool_call_id, action })
        }
        _ => return None,
    })
}

fn answer<'a>(message: &'a Message, has: Has, out: &mut Vec<AgUi<'a>>) {
    let message_id = message.id;
    let text = message.text();
    let has_text = matches!(has, Has::AllText | Has::All);
    let unheard = Some(thinking_of(message))
        .filter(|thinking| !thinking.is_empty() && !matches!(has, Has::AllThinking | Has::All));
    // In its place before the text, or behind it where the text is there already.
    let (before, behind) = if has_text && !text.is_empty() { (None, unheard) } else { (unheard, None) };
    thinking(message_id, before, out);
    if !text.is_empty() {
        if !has_text {
            out.push(AgUi::TextMessageStart { message_id, role: "assistant" });
            out.push(AgUi::TextMessageContent { message_id, delta: Cow::Owned(text) });
        }
        let model = message.made.model.as_deref();
        let metadata =
            Some(EndMetadata { partial: message.partial, model }).filter(|end| end.partial || model.is_some());
        out.push(AgUi::TextMessageEnd { message_id, metadata });
    }
    thinking(message_id, behind, out);
    for call in message.tool_calls() {
        let tool_call_id = call.id;
        out.push(AgUi::ToolCallStart { tool_call_id, tool_call_name: &call.name, parent_message_id: message_id });
        out.push(AgUi::ToolCallArgs { tool_call_id, delta: call.arguments.to_string() });
        out.push(AgUi::ToolCallEnd { tool_call_id });
    }
}

fn thinking(message: MessageId, text: Option<String>, out: &mut Vec<AgUi<'_>>) {
    let Some(text) = text else { return };
    let message_id = ReasoningId(message);
    out.push(AgUi::ReasoningStart { message_id });
    out.push(AgUi::ReasoningMessageStart { message_id, role: "reasoning" });
    out.push(AgUi::ReasoningMessageContent { message_id, delta: Cow::Owned(text) });
    out.push(AgUi::ReasoningMessageEnd { message_id });
    out.push(AgUi::ReasoningEnd { message_id });
}

fn results<'a>(message: &'a Message, out: &mut Vec<AgUi<'a>>) {
    for part in &message.parts {
        if let Part::ToolResult(result) = part {
            let took_ms = message.made.took_ms;
            let metadata = ResultMetadata { outcome: result.outcome, truncated: result.truncated, took_ms };
            let content = result.content.as_str();
            let (message_id, tool_call_id) = (message.id, result.call_id);
            out.push(AgUi::ToolCallResult { message_id, tool_call_id, content, metadata });
        }
    }
}

fn tokens(usage: Usage, model: Option<&str>) -> TokenUsage<'_> {
    TokenUsage {
        model,
        input_tokens: usage.input_tokens,
        output_tokens: usage.output_tokens,
        total_tokens: usage.total(),
        cached_input_tokens: usage.cached_input_tokens,
    }
}

fn announced(message: &Message) -> InputMessage<'_> {
    let result = message.parts.iter().find_map(|part| match part {
        Part::ToolResult(result) => Some(result),
        _ => None,
    });
    let body = match (message.role, result) {
        (Role::Tool, Some(result)) => {
            InputBody::Tool { tool_call_id: result.call_id, content: result.content.as_str() }
        }
        (Role::System, _) => InputBody::System { content: message.text() },
        (Role::Assistant, _) => {
            let calls = message.tool_calls().map(|call| InputCall::Function {
                id: call.id,
                function: InputFunction { name: &call.name, arguments: call.arguments.to_string() },
            });
            let content = Some(message.text()).filter(|text| !text.is_empty());
            InputBody::Assistant { content, tool_calls: calls.collect() }
        }
        (Role::User | Role::Tool, _) => InputBody::User { content: user_content(&message.parts) },
    };
    let client_message_id = message.client_message_id.as_deref();
    let metadata = InputMetadata { client_message_id, parent_id: message.parent_id, partial: message.partial };
    InputMessage { id: message.id, body, metadata }
}

fn user_content(parts: &[Part]) -> InputContent<'_> {
    if let [Part::Text { text }] = parts {
        return InputContent::Text(text);
    }
    let shown = parts.iter().filter_map(|part| match part {
        Part::Text { text } => Some(InputPart::Text { text }),
        Part::File(file) => Some(input_file(file)),
        _ => None,
    });
    InputContent::Parts(shown.collect())
}

fn input_file(file: &FilePart) -> InputPart<'_> {
    let source = FileSource::File { value: file.file_id, provider: "adjutant", mime_type: &file.media_type };
    let metadata = FileMetadata { name: &file.name, size: file.size };
    if file.is_image() { InputPart::Image { source, metadata } } else { InputPart::Document { source, metadata } }
}
