//! From a request to its run: the one that an earlier request with the same messages began, one that waits for what
//! this request brings (decisions, answers, results of the client's tools), or a new one.

use std::collections::HashSet;

use adjutant_core::ids::{MessageId, RunId, ThreadId};
use adjutant_core::message::{InvalidMessage, Part, Role, without_nul};
use adjutant_engine::runs::submission::{Draft, RunRequest, Submission, Target};
use adjutant_store::client_threads;
use adjutant_store::threads::Kind;

use super::input::{AgMessage, RunAgentInput};
use super::known::{self, client_message_id};
use super::resume;
use crate::app::App;
use crate::auth::extract::UserScope;
use crate::http::openai::calls;
use crate::http::openai::failure::Failure;
use crate::http::openai::history::Entry;
use crate::http::openai::start::{Started, Starting};
use crate::problem::Problem;

/// A run that is told from here on.
pub(super) struct Begun {
    pub(super) started: Started,
    /// It was interrupted before: what the client has of it, by the ids of its messages.
    pub(super) resumed: Option<HashSet<MessageId>>,
}

impl From<Started> for Begun {
    fn from(started: Started) -> Self {
        Self { started, resumed: None }
    }
}

pub(super) async fn start(app: &App, user: UserScope, input: RunAgentInput) -> Result<Begun, Problem> {
    let starting = Starting::new(app, user);
    begin(app, &starting, input).await.map_err(Failure::into_problem)
}

async fn begin(app: &App, starting: &Starting<'_>, mut input: RunAgentInput) -> Result<Begun, Failure> {
    let known = known::find(&starting.engine, &starting.owner, &input.thread_id).await?;
    let answers = input.resume.take().map(|resume| resume.0).unwrap_or_default();
    if !answers.is_empty() {
        let known = known.ok_or_else(Failure::no_thread)?;
        return resume::go_on(app, starting, &known, &input.thread_id, answers, input.messages.0).await;
    }
    // The last thing that the person said; what follows it was said by us, or by the client's tools.
    let asked = input.messages.0.iter().rfind(|message| message.role == "user");
    let asked = asked.map(|message| client_message_id(&input.thread_id, &message.id));
    let ends_with_it = input.messages.0.last().is_some_and(|message| message.role == "user");
    if let (Some(id), true) = (&asked, ends_with_it)
        && let Some(started) = starting.repeat(id).await?
    {
        return Ok(started.into());
    }
    let context = input.context_text().map(without_nul);
    let (mode, caller_tools) = (input.mode()?, input.take_tools()?);
    let sent = std::mem::take(&mut input.messages.0);
    let new = match &known {
        Some(known) => known.new_messages(&input.thread_id, sent),
        None => sent,
    };
    let entries = read(new)?;
    if let Some(awaited) = calls::awaited(&starting.engine, &starting.owner, &entries).await?
        && let Some(started) = starting.go_on(awaited).await?
    {
        return Ok(started.into());
    }
    if let Some(run) = known.as_ref().and_then(|known| known.waits_for) {
        let message = format!("the thread waits for its interrupts to be answered: send `resume`, or cancel run {run}");
        return Err(Failure::conflict("thread_waiting", message));
    }
    if !ends_with_it {
        return Err(Failure::invalid(
            "messages",
            "there is nothing new to answer: the last message is one of the user",
        ));
    }
    if entries.last().is_some_and(Entry::is_blank) {
        return Err(InvalidMessage::Empty.into());
    }
    let mut messages = starting.drafts(entries).await?;
    if let Some(context) = context.filter(|context| known.as_ref().is_none_or(|known| !known.was_told(context))) {
        let place = messages.len().saturating_sub(1);
        messages.insert(place, Draft { role: Role::System, parts: vec![Part::text(context)] });
    }
    let submission = Submission {
        run_id: RunId::new(),
        thread: known.as_ref().map_or(Target::New(Kind::Listed), |known| Target::Existing(known.id)),
        parent: None,
        messages,
        client_message_id: asked,
        request: RunRequest { caller_tools, mode, ..RunRequest::default() },
    };
    let started = starting.submit(submission).await?;
    name_thread(starting, &input.thread_id, started.following.place().thread).await?;
    Ok(started.into())
}

/// The messages as history.
pub(super) fn read(messages: Vec<AgMessage>) -> Result<Vec<Entry>, Failure> {
    let entries = messages.into_iter().enumerate().map(|(index, message)| message.into_entry(index));
    entries.filter_map(Result::transpose).collect()
}

/// From now on the client's name means this thread.
async fn name_thread(starting: &Starting<'_>, name: &str, thread: ThreadId) -> Result<(), Failure> {
    if name.parse() == Ok(thread) {
        return Ok(());
    }
    let store = starting.engine.store();
    Ok(store.scoped(&starting.owner, async |tx| client_threads::insert(tx, name, thread).await).await?)
}
