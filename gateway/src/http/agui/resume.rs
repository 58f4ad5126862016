//! Goes on with a run that was interrupted: what a person answered reaches the engine, and what follows is told. All of
//! it is read and checked before any of it counts.

use adjutant_core::ids::{ApprovalId, QuestionId, ThreadId};
use adjutant_engine::runs::control::ControlError;
use adjutant_store::error::StoreError;
use adjutant_store::questions::AskedQuestion;
use adjutant_store::runs::Run;
use adjutant_store::tx::Tx;
use adjutant_store::{approvals, events, questions, runs};

use super::input::{AgMessage, ResumeEntry};
use super::interrupts::{self, Resumed};
use super::known::Known;
use super::start::{self, Begun};
use crate::app::App;
use crate::http::openai::calls;
use crate::http::openai::failure::Failure;
use crate::http::openai::start::Starting;

/// What a run was interrupted for.
pub(super) enum Asked {
    Approval(ApprovalId),
    Question(Box<AskedQuestion>),
}

struct Interrupted {
    run: Run,
    asked: Vec<Asked>,
    /// The number of the event with which the first of it was asked.
    seen: i64,
}

pub(super) async fn go_on(
    app: &App,
    starting: &Starting<'_>,
    known: &Known,
    name: &str,
    resume: Vec<ResumeEntry>,
    sent: Vec<AgMessage>,
) -> Result<Begun, Failure> {
    let ids = interrupts::ids(&resume)?;
    let (store, owner) = (starting.engine.store(), &starting.owner);
    let found = store.scoped(owner, async |tx| find(tx, known.id, &ids).await).await;
    let Interrupted { run, asked, seen } = match found {
        Ok(Some(found)) => found,
        Ok(None) | Err(StoreError::NotFound) => return Err(no_interrupt()),
        Err(error) => return Err(error.into()),
    };
    let resumed = interrupts::read(&resume, asked)?;
    let told = sent.iter().filter_map(|message| message.id.parse().ok()).collect();
    let new = known.new_messages(name, sent);
    if new.iter().any(|message| message.role == "user") {
        let message = "a request that resumes brings no new message of the user: send it when the run is over";
        return Err(Failure::invalid("messages", message));
    }
    let entries = start::read(new)?;
    let following = starting.join(starting.place(known.id, run.id), seen);
    for resumed in resumed {
        answer(app, starting, resumed).await?;
    }
    if let Some(awaited) = calls::awaited(&starting.engine, owner, &entries).await?
        && let Some(started) = starting.go_on(awaited).await?
    {
        return Ok(Begun { started, resumed: Some(told) });
    }
    Ok(Begun { started: starting.started(following, run.usage), resumed: Some(told) })
}

/// All of it must be of one run in this thread.
async fn find(tx: &mut Tx, thread: ThreadId, ids: &[ApprovalId]) -> Result<Option<Interrupted>, StoreError> {
    let mut asked = Vec::with_capacity(ids.len());
    let mut run = None;
    for id in ids {
        let of = match approvals::run_of(tx, *id).await {
            Ok(of) => {
                asked.push(Asked::Approval(*id));
                of
            }
            Err(StoreError::NotFound) => {
                let question = questions::load(tx, QuestionId::from_uuid(id.as_uuid())).await?;
                let of = question.run_id;
                asked.push(Asked::Question(Box::new(question)));
                of
            }
            Err(error) => return Err(error),
        };
        if *run.get_or_insert(of) != of {
            return Ok(None);
        }
    }
    let Some(run) = run else { return Ok(None) };
    let run = runs::load(tx, run).await?;
    if run.thread_id != thread {
        return Ok(None);
    }
    let seen = events::of_asking(tx, thread, ids).await?.ok_or(StoreError::NotFound)?;
    Ok(Some(Interrupted { run, asked, seen }))
}

/// The first answer counts. When this one comes again or another device was faster, what followed is told.
async fn answer(app: &App, starting: &Starting<'_>, resumed: Resumed) -> Result<(), Failure> {
    let (engine, owner) = (starting.engine.clone(), starting.owner.clone());
    let answered = app.to_the_end("answer", async move {
        match resumed {
            Resumed::Decided { approval, decision, reason } => {
                engine.decide(&owner, approval, decision, reason.as_deref()).await
            }
            Resumed::Answered { question, answer } => engine.answer(&owner, question, answer).await,
        }
    });
    match answered.await.ok_or_else(Failure::internal)? {
        Ok(()) | Err(ControlError::AlreadyDecided | ControlError::AlreadyAnswered) => Ok(()),
        Err(ControlError::NotFound) => Err(no_interrupt()),
        Err(error) => Err(error.into()),
    }
}

fn no_interrupt() -> Failure {
    Failure::conflict("no_such_interrupt", "this thread was not interrupted for what `resume` names")
}
