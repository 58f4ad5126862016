//! From a request to its run: the one that an earlier request with the same messages began, one that waits for what
//! this request brings (decisions, answers, results of the client's tools), or a new one.

use adjutant_core::ids::{ApprovalId, RunId, ThreadId};
use adjutant_core::limits;
use adjutant_core::message::{InvalidMessage, Part, Role, without_nul};
use adjutant_engine::runs::control::ControlError;
use adjutant_engine::runs::submission::{Draft, RunRequest, Submission, Target};
use adjutant_store::error::StoreError;
use adjutant_store::tx::Tx;
use adjutant_store::{approvals, client_threads, events, runs};

use super::input::{AgMessage, RunAgentInput};
use super::interrupts::{self, Resumed};
use super::known::{self, Known, client_message_id};
use crate::app::App;
use crate::auth::extract::UserScope;
use crate::http::openai::calls;
use crate::http::openai::failure::Failure;
use crate::http::openai::history::Entry;
use crate::http::openai::start::{Started, Starting};
use crate::problem::Problem;

pub(super) async fn start(app: &App, user: UserScope, input: RunAgentInput) -> Result<Started, Problem> {
    let starting = Starting::new(app, user);
    begin(app, &starting, input).await.map_err(Failure::into_problem)
}

async fn begin(app: &App, starting: &Starting<'_>, mut input: RunAgentInput) -> Result<Started, Failure> {
    let known = known::find(&starting.engine, &starting.owner, &input.thread_id).await?;
    let resume = input.resume.take().map(|resume| resume.0).unwrap_or_default();
    if !resume.is_empty() {
        let resumed = interrupts::read(&resume)?;
        let known = known.ok_or_else(Failure::no_thread)?;
        return go_on(app, starting, &known, resumed, input).await;
    }
    // The last thing that the person said; what follows it was said by us, or by the client's tools.
    let asked = input.messages.0.iter().rfind(|message| message.role == "user");
    let asked = asked.map(|message| client_message_id(&input.thread_id, &message.id));
    let ends_with_it = input.messages.0.last().is_some_and(|message| message.role == "user");
    if let (Some(id), true) = (&asked, ends_with_it)
        && let Some(started) = starting.repeat(id).await?
    {
        return Ok(started);
    }
    let context = input.context_text().map(without_nul);
    let caller_tools = input.take_tools()?;
    let sent = std::mem::take(&mut input.messages.0);
    let new = match &known {
        Some(known) => known.new_messages(&input.thread_id, sent),
        None => sent,
    };
    let entries = read(new)?;
    if let Some(awaited) = calls::awaited(&starting.engine, &starting.owner, &entries).await?
        && let Some(started) = starting.go_on(awaited).await?
    {
        return Ok(started);
    }
    if let Some(run) = known.as_ref().and_then(Known::waits_for) {
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
        thread: known.as_ref().map_or(Target::New { hidden: false }, |known| Target::Existing(known.id)),
        parent: None,
        messages,
        client_message_id: asked,
        request: RunRequest { caller_tools, ..RunRequest::default() },
    };
    let started = starting.submit(submission).await?;
    name_thread(starting, &input.thread_id, started.following.place().thread).await?;
    Ok(started)
}

/// The messages as history.
fn read(messages: Vec<AgMessage>) -> Result<Vec<Entry>, Failure> {
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

/// Decides what was interrupted for, hands in results that came along, and listens to what follows.
async fn go_on(
    app: &App,
    starting: &Starting<'_>,
    known: &Known,
    resumed: Vec<Resumed>,
    input: RunAgentInput,
) -> Result<Started, Failure> {
    let (store, owner) = (starting.engine.store(), &starting.owner);
    let first = resumed.first().map(|resumed| resumed.approval).ok_or_else(no_interrupt)?;
    let interrupted = async |tx: &mut Tx| {
        let run = approvals::run_of(tx, first).await?;
        runs::load(tx, run).await
    };
    let run = match store.scoped(owner, interrupted).await {
        Ok(run) if run.thread_id == known.id => run,
        Ok(_) | Err(StoreError::NotFound) => return Err(no_interrupt()),
        Err(error) => return Err(error.into()),
    };
    let mut following = Some(starting.join(starting.place(known.id, run.id), known.last_seq));
    for Resumed { approval, decision, reason } in resumed {
        let (engine, owner) = (starting.engine.clone(), owner.clone());
        let decided = app
            .to_the_end("decide", async move { engine.decide(&owner, approval, decision, reason.as_deref()).await })
            .await
            .ok_or_else(Failure::internal)?;
        match decided {
            Ok(()) => {}
            // The same request again, or somebody else was faster: what followed is told.
            Err(ControlError::AlreadyDecided) => {
                let seen = decision_seen(starting, known, approval).await?;
                following = Some(starting.join(starting.place(known.id, run.id), seen));
            }
            Err(ControlError::NotFound) => return Err(no_interrupt()),
            Err(error) => return Err(error.into()),
        }
    }
    let new = known.new_messages(&input.thread_id, input.messages.0);
    if let Some(awaited) = calls::awaited(&starting.engine, owner, &read(new)?).await?
        && let Some(started) = starting.go_on(awaited).await?
    {
        return Ok(started);
    }
    let following = following.take().ok_or_else(Failure::internal)?;
    Ok(starting.started(following, run.usage))
}

async fn decision_seen(starting: &Starting<'_>, known: &Known, approval: ApprovalId) -> Result<i64, Failure> {
    let (store, thread) = (starting.engine.store(), known.id);
    let seen = store.scoped(&starting.owner, async |tx| events::of_decision(tx, thread, approval).await).await?;
    // Taken back with the end of its run.
    Ok(seen.unwrap_or_else(|| known.last_seq.saturating_sub(limits::REPLAY_PAGE)).max(0))
}

fn no_interrupt() -> Failure {
    Failure::conflict("no_such_interrupt", "this thread was not interrupted for what `resume` names")
}
