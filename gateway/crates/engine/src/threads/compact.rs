//! Compacting: the small model writes a summary of a thread's older messages, and from then on a model reads that in their
//! place. The messages stay, for people and for search; taking the summary away brings them back into prompts. What is
//! asked is on record behind the run that ended last. Asked outside of every transaction, under a claim.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use adjutant_core::ids::{MessageId, RunId, ThreadId};
use adjutant_core::limits;
use adjutant_core::message::{Message, Role, without_nul};
use adjutant_core::model::{ModelAccess, ModelAnswer, ModelError, ModelErrorKind, ModelRequest, Purpose, StopReason};
use adjutant_core::prompt;
use adjutant_core::prompt::summary::{self, Passage};
use adjutant_core::scope::{Owner, Scope};
use adjutant_store::error::StoreError;
use adjutant_store::steps::{ModelCallStep, StepKind};
use adjutant_store::summaries::{Claim, NewSummary};
use adjutant_store::threads::{LockedThread, ThreadSummary};
use adjutant_store::tx::Tx;
use adjutant_store::{messages, runs, summaries, threads};

use super::change::{ThreadError, not_busy, tell};
use crate::engine::Engine;
use crate::runs::aside::{self, Asked};
use crate::runs::assistant;

/// A crash leaves the claim for so much longer than the calls take.
const CLAIM_SPARE: Duration = limits::LEASE;

/// What is summarized before the summary is stored.
struct Part {
    claim: Claim,
    /// The summary before, which the new one takes in.
    before: Option<String>,
    passages: Vec<Passage>,
    /// The passages, or what the summary before stands for, hold text of others.
    holds_foreign_text: bool,
    /// Nothing is left behind it that could be summarized.
    is_last: bool,
    models: Vec<String>,
    access: ModelAccess,
    /// Where the calls are put on record.
    run: RunId,
}

/// What came of the calls for a part.
#[derive(Default)]
struct Written {
    steps: Vec<ModelCallStep>,
    /// As far as it came, and the message that it goes up to.
    summary: Option<(ModelAnswer, MessageId)>,
    failure: Option<ThreadError>,
}

impl Engine {
    /// Summarizes all of the active branch but its newest [`limits::SUMMARY_KEPT`] questions with what follows them, in at
    /// most [`limits::SUMMARY_TIME`]. Where a model fails on the way, what was summarized until then counts.
    pub async fn compact_thread(&self, scope: &Scope, thread: ThreadId) -> Result<ThreadSummary, ThreadError> {
        let (owner, until) = (scope.owner(), Instant::now() + limits::SUMMARY_TIME);
        let mut summarized: Option<ThreadSummary> = None;
        loop {
            let begun = summarized.as_ref().and_then(|thread| thread.summary_to);
            let claimed = self.in_thread(&owner, thread, async |engine, tx, locked, _| {
                engine.claim_part(tx, scope, thread, locked, begun).await
            });
            let part = match claimed.await.flatten() {
                Ok(part) => part,
                Err(error) => return summarized.ok_or(error),
            };
            let is_last = part.is_last;
            match self.summarize(&owner, thread, part, until).await {
                Ok((changed, is_whole)) if is_last || !is_whole => return Ok(changed),
                Ok((changed, _)) => summarized = Some(changed),
                Err(error) => return summarized.ok_or(error),
            }
        }
    }

    /// Takes the summary away: models read the messages themselves again. A thread without one stays as it is.
    pub async fn remove_summary(&self, owner: &Owner, thread: ThreadId) -> Result<ThreadSummary, ThreadError> {
        self.in_thread(owner, thread, async |_, tx, locked, after| {
            locked.open()?;
            let Some(changed) = summaries::remove(tx, thread).await? else { return threads::load(tx, thread).await };
            after.events.push(tell(tx, &changed).await?);
            Ok(changed)
        })
        .await
    }

    /// The next part; of a thread that was begun before, the one behind that summary, or none.
    async fn claim_part(
        &self,
        tx: &mut Tx,
        scope: &Scope,
        thread: ThreadId,
        locked: LockedThread,
        begun: Option<MessageId>,
    ) -> Result<Result<Part, ThreadError>, StoreError> {
        let head = locked.open()?.head_id;
        not_busy(tx, thread).await?;
        let Some(head) = head else { return Ok(Err(ThreadError::NothingToCompact)) };
        let mut branch = messages::roles(tx, thread, head, locked.summary_to, limits::SUMMARY_BRANCH).await?;
        // On another branch the summary counts for nothing, and is replaced.
        let mut before = None;
        if branch.first().is_some_and(|(first, _)| locked.summary_to == Some(*first)) {
            branch.remove(0);
            before = summaries::load(tx, thread).await?;
        }
        if begun.is_some() && begun != before.as_ref().map(|before| before.to) {
            return Ok(Err(ThreadError::NothingToCompact));
        }
        let (ids, roles): (Vec<MessageId>, Vec<Role>) = branch.into_iter().unzip();
        let older = summary::length(&roles);
        let length = summary::first_part(&roles[..older], limits::SUMMARY_MESSAGES);
        if length == 0 {
            return Ok(Err(ThreadError::NothingToCompact));
        }
        let Some(run) = runs::last_ended(tx, thread).await? else { return Ok(Err(ThreadError::NothingAnswered)) };
        // With the rights and keys that there are now.
        let parts = &self.inner.parts;
        let loaded = assistant::load(tx, parts, scope).await?;
        if !loaded.is_active {
            return Ok(Err(ThreadError::RightsLost));
        }
        let assistant = loaded.assistant;
        let models = match assistant.plan_small(parts) {
            Ok(models) => models,
            Err(error) => return Ok(Err(ThreadError::Model(error))),
        };
        let part: Vec<Arc<Message>> =
            messages::of_ids(tx, thread, &ids[..length]).await?.into_iter().map(Arc::new).collect();
        let Some(claim) = summaries::claim(tx, thread, limits::SUMMARY_TIME + CLAIM_SPARE).await? else {
            return Ok(Err(ThreadError::Compacting));
        };
        let known = before.as_ref().is_some_and(|before| before.holds_foreign_text);
        Ok(Ok(Part {
            claim,
            before: before.map(|before| before.text),
            passages: summary::passages(&part, assistant.zone),
            holds_foreign_text: known || prompt::holds_foreign_text(&part),
            is_last: length == older,
            models,
            access: assistant.access,
            run,
        }))
    }

    /// Has a part written and stores what came of it; whether that is all of it.
    async fn summarize(
        &self,
        owner: &Owner,
        thread: ThreadId,
        part: Part,
        until: Instant,
    ) -> Result<(ThreadSummary, bool), ThreadError> {
        let Written { steps, summary, failure } = self.write(&part, until).await;
        let is_whole = failure.is_none();
        self.in_thread(owner, thread, async |_, tx, locked, after| {
            for step in steps {
                threads::add_usage(tx, thread, step.usage).await?;
                aside::keep(tx, part.run, step).await?;
            }
            let Some((answer, to)) = summary else {
                summaries::release(tx, thread, part.claim).await?;
                return Ok(Err(failure.unwrap_or(ThreadError::NothingToCompact)));
            };
            if locked.deleted {
                summaries::release(tx, thread, part.claim).await?;
                return Ok(Err(ThreadError::NotFound));
            }
            let model = format!("{}/{}", answer.provider, without_nul(answer.model));
            let holds_foreign_text = part.holds_foreign_text;
            let new = NewSummary { text: &answer.text, to, holds_foreign_text, model: &model };
            let Some(changed) = summaries::store(tx, thread, part.claim, new).await? else {
                // Meanwhile it was taken away, or written by another.
                return Ok(Ok((threads::load(tx, thread).await?, false)));
            };
            after.events.push(tell(tx, &changed).await?);
            Ok(Ok((changed, is_whole)))
        })
        .await
        .flatten()
    }

    /// Has the model read passage after passage, each with the summary so far.
    async fn write(&self, part: &Part, until: Instant) -> Written {
        let mut written = Written::default();
        let mut before = part.before.clone();
        for passage in &part.passages {
            let request = ModelRequest {
                models: part.models.clone(),
                purpose: Purpose::Small,
                access: part.access.clone(),
                messages: summary::build(before.as_deref(), &passage.text),
                files: HashMap::new(),
                tools: Vec::new(),
                max_output_tokens: limits::SUMMARY_TOKENS,
                temperature: None,
            };
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                let error = ModelError::new(ModelErrorKind::TimedOut, "the small model takes too long");
                written.failure = Some(ThreadError::Model(error));
                break;
            }
            let bytes = limits::SUMMARY_ANSWER_BYTES;
            let Some(Asked { answer, step }) = self.ask_aside(StepKind::Distillation, request, left, bytes).await
            else {
                written.failure = Some(ThreadError::Stopping);
                break;
            };
            written.steps.push(step);
            match answer.and_then(accepted) {
                Ok(answer) => {
                    before = Some(answer.text.clone());
                    // In the middle of what follows a question it cannot end.
                    if let Some(to) = passage.to {
                        written.summary = Some((answer, to));
                    }
                }
                Err(error) => {
                    written.failure = Some(ThreadError::Model(error));
                    break;
                }
            }
        }
        written
    }
}

/// The answer with what counts of its text.
fn accepted(answer: ModelAnswer) -> Result<ModelAnswer, ModelError> {
    if answer.stop != StopReason::Finished {
        return Err(ModelError::new(ModelErrorKind::Truncated, "the small model did not finish the summary"));
    }
    match summary::accept(&answer.text) {
        Some(text) => Ok(ModelAnswer { text, ..answer }),
        None => Err(ModelError::new(ModelErrorKind::Garbled, "the small model wrote no summary")),
    }
}
