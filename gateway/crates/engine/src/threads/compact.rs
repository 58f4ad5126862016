//! Compacting: the small model writes a summary of a thread's older messages, and from then on a model reads that in their
//! place. The messages stay, for people and for search; taking the summary away brings them back into prompts. What is
//! asked is on record behind the newest run that has ended. Asked outside of every transaction, under a claim.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use adjutant_core::ids::{MessageId, RunId, ThreadId};
use adjutant_core::limits;
use adjutant_core::message::{Message, without_nul};
use adjutant_core::model::{ModelAccess, ModelAnswer, ModelError, ModelErrorKind, ModelRequest, Purpose, StopReason};
use adjutant_core::prompt::summary;
use adjutant_core::scope::{Owner, Scope};
use adjutant_store::error::StoreError;
use adjutant_store::steps::{ModelCallStep, StepKind};
use adjutant_store::threads::{LockedThread, ThreadSummary};
use adjutant_store::tx::Tx;
use adjutant_store::{runs, summaries, threads};

use super::change::{ThreadError, not_busy, tell};
use crate::engine::Engine;
use crate::runs::aside::{self, Asked};
use crate::runs::{assistant, past};

/// A crash leaves the claim for so much longer than the calls take.
const CLAIM_SPARE: Duration = limits::LEASE;

/// What is to be summarized, under a claim.
struct Claimed {
    /// The summary before, which the new one takes in.
    before: Option<String>,
    passages: Vec<String>,
    /// The newest message that the summary will stand for.
    to: MessageId,
    models: Vec<String>,
    access: ModelAccess,
    /// Where the calls are put on record.
    run: RunId,
}

/// What came of the calls.
struct Summarized {
    steps: Vec<ModelCallStep>,
    summary: Result<ModelAnswer, ModelError>,
}

impl Engine {
    /// Summarizes all of the active branch but its newest [`limits::SUMMARY_KEPT`] questions with what follows them.
    pub async fn compact_thread(&self, scope: &Scope, thread: ThreadId) -> Result<ThreadSummary, ThreadError> {
        let owner = scope.owner();
        let claimed = self
            .in_thread(&owner, thread, async |engine, tx, locked, _| {
                engine.claim_summary(tx, scope, thread, locked).await
            })
            .await??;
        let (to, run) = (claimed.to, claimed.run);
        let Some(Summarized { steps, summary }) = self.summarize(claimed).await else {
            self.store().scoped(&owner, async |tx| summaries::release(tx, thread).await).await?;
            return Err(ThreadError::Stopping);
        };
        self.in_thread(&owner, thread, async |_, tx, locked, after| {
            for step in steps {
                threads::add_usage(tx, thread, step.usage).await?;
                aside::keep(tx, run, step).await?;
            }
            let answer = match summary {
                Ok(answer) if !locked.deleted => answer,
                refused => {
                    summaries::release(tx, thread).await?;
                    return Ok(Err(refused.map_or_else(ThreadError::Model, |_| ThreadError::NotFound)));
                }
            };
            let model = format!("{}/{}", answer.provider, without_nul(answer.model));
            let summarized = summaries::store(tx, thread, &answer.text, to, &model).await?;
            after.events.push(tell(tx, &summarized).await?);
            Ok(Ok(summarized))
        })
        .await?
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

    async fn claim_summary(
        &self,
        tx: &mut Tx,
        scope: &Scope,
        thread: ThreadId,
        locked: LockedThread,
    ) -> Result<Result<Claimed, ThreadError>, StoreError> {
        let head = locked.open()?.head_id;
        not_busy(tx, thread).await?;
        let Some(head) = head else { return Ok(Err(ThreadError::NothingToCompact)) };
        let past = past::load(tx, thread, &locked, head).await?;
        let tail: Vec<Arc<Message>> = past.tail.into_iter().map(Arc::new).collect();
        let older = &tail[..summary::length(&tail)];
        // Those that are quarantined may go on.
        let open: Vec<RunId> = runs::unfinished(tx, thread).await?.iter().map(|run| run.id).collect();
        let run = tail.iter().rev().filter_map(|message| message.run_id).find(|run| !open.contains(run));
        let (Some(to), Some(run)) = (older.last().map(|message| message.id), run) else {
            return Ok(Err(ThreadError::NothingToCompact));
        };
        // With the rights and keys that there are now.
        let parts = &self.inner.parts;
        let assistant = assistant::load(tx, parts, scope).await?.assistant;
        let models = match assistant.plan_small(parts) {
            Ok(models) => models,
            Err(error) => return Ok(Err(ThreadError::Model(error))),
        };
        if !summaries::claim(tx, thread, limits::SUMMARY_TIME + CLAIM_SPARE).await? {
            return Ok(Err(ThreadError::Compacting));
        }
        let passages = summary::passages(older, assistant.zone);
        Ok(Ok(Claimed { before: past.summary, passages, to, models, access: assistant.access, run }))
    }

    /// Reads passage after passage, each with the summary so far. `None`: the server stops.
    async fn summarize(&self, claimed: Claimed) -> Option<Summarized> {
        let Claimed { mut before, passages, models, access, .. } = claimed;
        let begun = Instant::now();
        let mut steps = Vec::new();
        let mut summary = Err(ModelError::new(ModelErrorKind::Garbled, "there is nothing to summarize"));
        for passage in &passages {
            let request = ModelRequest {
                models: models.clone(),
                purpose: Purpose::Small,
                access: access.clone(),
                messages: summary::build(before.as_deref(), passage),
                files: HashMap::new(),
                tools: Vec::new(),
                max_output_tokens: limits::SUMMARY_TOKENS,
                temperature: None,
            };
            let left = limits::SUMMARY_TIME.saturating_sub(begun.elapsed());
            let Asked { answer, step } =
                self.ask_aside(StepKind::Distillation, request, left, limits::SUMMARY_ANSWER_BYTES).await?;
            steps.push(step);
            summary = answer.and_then(accepted);
            let Ok(answer) = &summary else { break };
            before = Some(answer.text.clone());
        }
        Some(Summarized { steps, summary })
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
