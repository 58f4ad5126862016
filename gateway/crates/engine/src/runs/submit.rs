//! Submission: one short synchronous transaction stores message, run and first event; the first
//! model request starts beside its commit.

use std::collections::HashMap;
use std::sync::Arc;

use adjutant_core::ids::{FileId, MessageId, RunId, ThreadId};
use adjutant_core::limits;
use adjutant_core::message::{Made, Message, Part, Role, accept_client_message_id};
use adjutant_core::model::{ModelErrorKind, Usage};
use adjutant_core::prompt;
use adjutant_core::run::checkpoint;
use adjutant_core::run::state::{Event as MachineEvent, RunState};
use adjutant_core::scope::Scope;
use adjutant_store::error::StoreError;
use adjutant_store::messages::NewMessage;
use adjutant_store::runs::{Lease, NewRun, RunStatus};
use adjutant_store::threads::{Advance, LockedThread};
use adjutant_store::tree::Standing;
use adjutant_store::tx::Tx;
use adjutant_store::{events, files, messages, runs, threads, tree};
use tokio::sync::oneshot;

use super::assistant::{self, RIGHTS_LOST};
use super::commit::{self, event_row};
use super::driver::{Context, Driver};
use super::hold::Hold;
use super::past::Past;
use super::rules::Rules;
use super::submission::{Accepted, Edited, Submission, SubmitError, Target, TryAgain};
use crate::engine::Engine;
use crate::events::event::{Event, EventBody};

/// What the transaction leaves behind when it commits.
struct Stored {
    accepted: Accepted,
    hidden: bool,
    event: Event,
    /// Opens the worker that already talks to the model; `None` when the run is queued.
    gate: Option<oneshot::Sender<()>>,
}

/// Where the messages of a submission stand.
#[derive(Debug, Clone, Copy)]
enum Place {
    /// Behind the named message, or else behind the head.
    Behind(Option<MessageId>),
    /// In a branch of their own, beside this message.
    Beside(Edited),
    /// Nowhere: there are none, and the run answers a message that is there.
    Answers(MessageId),
}

/// A place that was found in the locked thread.
struct Found {
    /// What the first message, or else the answer, stands behind.
    parent: Option<MessageId>,
    /// It stays there also when the run has to wait.
    explicit: bool,
    /// Files that the first message takes over.
    keeps: Vec<Part>,
}

impl Engine {
    /// Stores the message and starts its run, or queues it behind the one that is going. Returns
    /// after the commit: whatever it returns is durable.
    pub async fn submit(&self, scope: &Scope, submission: Submission) -> Result<Accepted, SubmitError> {
        let place = Place::Behind(submission.parent);
        self.start(scope, submission, place).await
    }

    /// As [`Engine::submit`], in a new branch: the message stands beside an earlier one of the person, which stays.
    pub async fn edit(&self, scope: &Scope, edited: Edited, submission: Submission) -> Result<Accepted, SubmitError> {
        self.start(scope, submission, Place::Beside(edited)).await
    }

    /// Starts a run that answers a message once more, in a new branch behind it.
    pub async fn try_again(&self, scope: &Scope, again: TryAgain) -> Result<Accepted, SubmitError> {
        let submission = Submission {
            run_id: again.run_id,
            thread: Target::Existing(again.thread),
            parent: None,
            messages: Vec::new(),
            client_message_id: again.client_request_id,
            request: again.request,
        };
        self.start(scope, submission, Place::Answers(again.message)).await
    }

    async fn start(&self, scope: &Scope, submission: Submission, place: Place) -> Result<Accepted, SubmitError> {
        if let Some(id) = &submission.client_message_id {
            accept_client_message_id(id)?;
        }
        self.look_for_a_model(scope, submission.request.model.as_deref()).await?;
        let owner = scope.owner();
        let thread = match submission.thread {
            Target::New(_) => ThreadId::new(),
            Target::Existing(thread) => thread,
        };
        let order = self.inner.hub.order_of(thread);
        let ordered = order.lock_owned().await;
        #[cfg(feature = "fault-early-ack")]
        let (early, acknowledged) = oneshot::channel();
        let commit = {
            let (this, owner, scope, submission) = (self.clone(), owner.clone(), scope.clone(), submission.clone());
            async move {
                let stored = this
                    .inner
                    .store()
                    .scoped(&owner, async |tx| {
                        let stored = this.store_submission(tx, &scope, thread, &submission, place).await;
                        #[cfg(feature = "fault-early-ack")]
                        fault::acknowledge_and_linger(early, &stored).await;
                        stored
                    })
                    .await?;
                this.inner.hub.publish(&owner, thread, stored.hidden, vec![stored.event]);
                drop(ordered);
                if let Some(gate) = stored.gate {
                    let _ = gate.send(());
                }
                Ok(stored.accepted)
            }
        };
        #[cfg(feature = "fault-early-ack")]
        let commit = fault::or_acknowledged(self, acknowledged, commit);
        match commit.await {
            Ok(accepted) => Ok(accepted),
            Err(StoreError::Invalid(what)) if what == NO_MODEL => {
                Err(self.why_no_model(scope, submission.request.model.as_deref()).await?)
            }
            Err(error) => self.explain(&owner, submission.client_message_id.as_deref(), place, error).await,
        }
    }

    /// The sentence for somebody who may ask no model, or not the one that they named. Nothing was stored.
    async fn why_no_model(&self, scope: &Scope, named: Option<&str>) -> Result<SubmitError, StoreError> {
        let parts = &self.inner.parts;
        let loaded =
            self.store().scoped(&scope.owner(), async |tx| assistant::load(tx, parts, scope).await).await?.assistant;
        Ok(match loaded.plan(parts, named) {
            // Others may be asked, but not the one that was named.
            Err(error) if named.is_some() && loaded.plan(parts, None).is_ok() => {
                SubmitError::ModelNotAllowed(error.message)
            }
            Err(error) if error.kind == ModelErrorKind::NoKey => SubmitError::NoModelKey(error.message),
            Err(_) => SubmitError::ModelNotConfigured,
            Ok(_) => SubmitError::NoModelKey("which models may be asked has just changed: send it again".to_owned()),
        })
    }

    /// Inside the transaction. The worker that it starts waits at its gate for the commit.
    async fn store_submission(
        &self,
        tx: &mut Tx,
        scope: &Scope,
        thread: ThreadId,
        submission: &Submission,
        place: Place,
    ) -> Result<Stored, StoreError> {
        let loaded = assistant::load(tx, &self.inner.parts, scope).await?;
        if !loaded.is_active {
            return Err(StoreError::Invalid(RIGHTS_LOST.0.to_owned()));
        }
        if let Some(broken) = &loaded.assistant.broken {
            return Err(broken.clone().into());
        }
        if loaded.assistant.plan(&self.inner.parts, submission.request.model.as_deref()).is_err() {
            return Err(StoreError::Invalid(NO_MODEL.to_owned()));
        }
        let locked = match submission.thread {
            Target::New(kind) => threads::insert(tx, thread, kind).await?,
            Target::Existing(_) => threads::lock(tx, thread).await?.open()?,
        };
        let Found { parent, explicit, keeps } = find(tx, thread, &locked, place).await?;
        let run_id = submission.run_id;
        let seq = locked.last_seq + 1;
        let mut drafts = chain(submission, run_id, parent, seq);
        if let Some(last) = drafts.last_mut() {
            last.parts.extend(keeps);
        }
        let attached = describe_files(tx, &mut drafts).await?;
        let brought = drafts.last().map(|draft| draft.id);
        let answered = brought.or(parent).ok_or_else(|| StoreError::bug("an empty submission"))?;
        messages::append(tx, thread, &drafts).await?;
        files::attach(tx, thread, &attached).await?;

        let state = RunState::new(MessageId::new(), self.inner.parts.run_limits);
        let request = serde_json::to_value(&submission.request).map_err(StoreError::bug)?;
        let new = NewRun {
            id: run_id,
            thread_id: thread,
            message_id: answered,
            explicit_parent: explicit,
            origin: scope.origin.as_str(),
            key_id: scope.key.as_deref(),
            agent: AGENT,
            request: &request,
            client_request_id: submission.client_message_id.as_deref().filter(|_| brought.is_none()),
            checkpoint: &checkpoint::save(&state).map_err(StoreError::bug)?,
            replica: self.inner.parts.replica,
            lease: limits::LEASE,
        };
        let status = runs::insert(tx, &new, limits::QUEUED_RUNS).await?;
        let queued = status == RunStatus::Queued;
        if queued && !explicit {
            // It answers to whatever the head is when its run starts.
            messages::set_parent(tx, thread, drafts[0].id, None).await?;
            drafts[0].parent_id = None;
        }
        let answers = Some(answered).filter(|_| brought.is_none());
        let body = EventBody::RunStarted { queued, answers };
        events::append(tx, thread, &[event_row(seq, Some(run_id), &body, brought)?]).await?;
        let head_id = (!queued).then_some(answered);
        threads::advance(tx, thread, Advance { events: 1, head_id, usage: Usage::default() }).await?;
        commit::wake_peers(&self.inner, tx, thread, seq, seq).await?;

        let written: Vec<Arc<Message>> =
            drafts.into_iter().map(|draft| commit::as_message(thread, draft, loaded.now)).collect();
        let gate = if queued {
            None
        } else {
            let past = match parent {
                Some(parent) => Past::load(tx, thread, &locked, parent, answers).await?,
                None => Past::default(),
            };
            let brings_foreign_text = past.brings_foreign_text();
            let mut tail: Vec<Arc<Message>> = past.tail.into_iter().map(Arc::new).collect();
            tail.extend(written.iter().cloned());
            let context = Context {
                scope: loaded.scope,
                thread,
                hidden: locked.hidden,
                lease: Lease { run: run_id, fence: 1 },
                agent: AGENT.to_owned(),
                request: submission.request.clone(),
            };
            let read_foreign_text = brings_foreign_text
                || prompt::holds_foreign_text(&tail)
                || (parent.is_some() && messages::hold_foreign_text(tx, thread).await?);
            let begun = MachineEvent::Begun { read_foreign_text };
            let rules = Rules::to_offer(tx).await?;
            let (gate, opened) = oneshot::channel();
            let hold = Hold::of(self, context.lease);
            let mut driver = Driver::new(self.clone(), context, loaded.assistant, state, tail, hold.bell());
            driver.rules = rules;
            driver.summary = past.summary.map(|summary| summary.text);
            driver.start(hold, vec![begun], Some(opened));
            Some(gate)
        };
        let accepted = Accepted { thread_id: thread, message_id: answered, run_id, seq, repeated: false };
        Ok(Stored {
            accepted,
            hidden: locked.hidden,
            event: Event { seq, run_id: Some(run_id), body, messages: written },
            gate,
        })
    }

    /// Turns what the store refused into the first answer again, or into what the caller did wrong.
    async fn explain(
        &self,
        owner: &adjutant_core::scope::Owner,
        client_message_id: Option<&str>,
        place: Place,
        error: StoreError,
    ) -> Result<Accepted, SubmitError> {
        let is_repeated = error.is_conflict_with("messages_user_id_profile_client_message_id_key")
            || error.is_conflict_with("runs_by_client_request");
        if let Some(id) = client_message_id.filter(|_| is_repeated) {
            let before = self
                .inner
                .store()
                .scoped(owner, async |tx| match place {
                    Place::Answers(_) => runs::requested_before(tx, id).await,
                    Place::Behind(_) | Place::Beside(_) => runs::accepted_before(tx, id).await,
                })
                .await?;
            let before = before.ok_or_else(|| StoreError::bug("a repeated client message id without its run"))?;
            return Ok(Accepted {
                thread_id: before.thread_id,
                message_id: before.message_id,
                run_id: before.run_id,
                seq: before.seq,
                repeated: true,
            });
        }
        Err(match error {
            StoreError::NotFound => SubmitError::NoThread,
            StoreError::Conflict(name) if name == NO_PARENT => SubmitError::NoParent,
            StoreError::Conflict(name) if name == NO_MESSAGE => SubmitError::NoMessage,
            StoreError::Conflict(name) if name == QUEUED => SubmitError::MessageQueued,
            StoreError::Conflict(name) if name == NO_FILE || name.contains("file_id") => SubmitError::NoFile,
            StoreError::Invalid(what) if what == "queue" => SubmitError::QueueFull,
            StoreError::Invalid(what) if what == RIGHTS_LOST.0 => SubmitError::RightsLost,
            other => SubmitError::Store(other),
        })
    }
}

/// Inside the store: no model may be asked.
const NO_MODEL: &str = "model";

/// The agent that answers until agents exist.
pub(super) const AGENT: &str = "cos";

const NO_PARENT: &str = "parent in the thread";
const NO_MESSAGE: &str = "message of the thread";
const QUEUED: &str = "message in the queue";
pub(crate) const NO_FILE: &str = "file of the message";

/// Finds the place in the locked thread. Nothing stands behind or beside a message that is no part of the tree.
async fn find(tx: &mut Tx, thread: ThreadId, locked: &LockedThread, place: Place) -> Result<Found, StoreError> {
    match place {
        Place::Behind(None) => Ok(Found { parent: locked.head_id, explicit: false, keeps: Vec::new() }),
        Place::Behind(Some(parent)) => {
            look_at(tx, thread, parent, NO_PARENT).await?;
            Ok(Found { parent: Some(parent), explicit: true, keeps: Vec::new() })
        }
        Place::Beside(Edited { message, keeps_files }) => {
            look_at(tx, thread, message, NO_MESSAGE).await?;
            let edited = messages::load(tx, thread, message).await?;
            if edited.role != Role::User {
                return Err(StoreError::Conflict(NO_MESSAGE.to_owned()));
            }
            let keeps = if keeps_files { edited.files().cloned().map(Part::File).collect() } else { Vec::new() };
            Ok(Found { parent: edited.parent_id, explicit: true, keeps })
        }
        Place::Answers(message) => {
            let branch = messages::tail(tx, thread, message, limits::TAIL_MESSAGES).await?;
            let asked = branch.iter().rev().find(|message| message.role == Role::User);
            let asked = asked.ok_or_else(|| StoreError::Conflict(NO_MESSAGE.to_owned()))?;
            look_at(tx, thread, asked.id, NO_MESSAGE).await?;
            Ok(Found { parent: Some(asked.id), explicit: true, keeps: Vec::new() })
        }
    }
}

/// Refuses a message that is not there, or is no part of the tree.
async fn look_at(tx: &mut Tx, thread: ThreadId, message: MessageId, missing: &str) -> Result<(), StoreError> {
    match tree::standing(tx, thread, message).await {
        Ok(Standing::Placed) => Ok(()),
        Ok(Standing::Waits) => Err(StoreError::Conflict(QUEUED.to_owned())),
        Ok(Standing::Never) | Err(StoreError::NotFound) => Err(StoreError::Conflict(missing.to_owned())),
        Err(other) => Err(other),
    }
}

/// Fills in what a client does not say of files. Returns which message names which file.
async fn describe_files(tx: &mut Tx, drafts: &mut [NewMessage]) -> Result<Vec<(MessageId, FileId)>, StoreError> {
    let mut attached = Vec::new();
    for draft in drafts {
        let named = describe(tx, &mut draft.parts).await?;
        attached.extend(named.into_iter().map(|file| (draft.id, file)));
    }
    Ok(attached)
}

/// The same of one message. Returns which files it names.
pub(crate) async fn describe(tx: &mut Tx, parts: &mut [Part]) -> Result<Vec<FileId>, StoreError> {
    let named = |part: &Part| if let Part::File(file) = part { Some(file.file_id) } else { None };
    let ids: Vec<FileId> = parts.iter().filter_map(named).collect();
    if ids.is_empty() {
        return Ok(ids);
    }
    let known: HashMap<FileId, _> = files::of_ids(tx, &ids).await?.into_iter().map(|file| (file.id, file)).collect();
    for part in parts {
        if let Part::File(file) = part {
            let found = known.get(&file.file_id).ok_or_else(|| StoreError::Conflict(NO_FILE.to_owned()))?;
            *file = found.part();
        }
    }
    Ok(ids)
}

/// The drafts as rows, each answering the one before it. Only the last carries the client's id.
fn chain(submission: &Submission, run_id: RunId, parent: Option<MessageId>, seq: i64) -> Vec<NewMessage> {
    let last = submission.messages.len().saturating_sub(1);
    let mut parent_id = parent;
    let row = |(index, draft): (usize, &super::submission::Draft)| {
        let id = MessageId::new();
        let row = NewMessage {
            id,
            parent_id,
            run_id: Some(run_id),
            role: draft.role,
            parts: draft.parts.clone(),
            client_message_id: submission.client_message_id.clone().filter(|_| index == last),
            partial: false,
            made: Made::default(),
            seq,
        };
        parent_id = Some(id);
        row
    };
    submission.messages.iter().enumerate().map(row).collect()
}

/// A planted fault of the crash test: it acknowledges before the commit and then lingers, so that
/// a kill in between loses an acknowledged message. Never part of a release.
#[cfg(feature = "fault-early-ack")]
mod fault {
    use std::future::Future;
    use std::sync::atomic::{AtomicU32, Ordering};

    use adjutant_store::error::StoreError;
    use adjutant_store::tx::fault::LINGERS;
    use tokio::sync::oneshot;

    use super::{Accepted, Stored};
    use crate::engine::Engine;

    /// One in three, so that the others get somewhere.
    static SUBMITTED: AtomicU32 = AtomicU32::new(0);

    pub(super) async fn acknowledge_and_linger(early: oneshot::Sender<Accepted>, stored: &Result<Stored, StoreError>) {
        if let Ok(stored) = stored
            && SUBMITTED.fetch_add(1, Ordering::Relaxed).is_multiple_of(3)
        {
            let _ = early.send(stored.accepted);
            tokio::time::sleep(LINGERS).await;
        }
    }

    pub(super) async fn or_acknowledged(
        engine: &Engine,
        acknowledged: oneshot::Receiver<Accepted>,
        commit: impl Future<Output = Result<Accepted, StoreError>> + Send + 'static,
    ) -> Result<Accepted, StoreError> {
        let (done, ended) = oneshot::channel();
        engine.supervisor().spawn("commit", async move {
            let _ = done.send(commit.await);
        });
        match acknowledged.await {
            Ok(accepted) => Ok(accepted),
            Err(_) => ended.await.unwrap_or(Err(StoreError::NotFound)),
        }
    }
}
