//! A thread's title from the small model, once a run has ended well. It is asked beside the runs, which do not wait for it;
//! of replicas only the one that has the claim asks, and outside of every transaction. A failure leaves the thread without
//! a title until its next run ends, and so does a crash once the claim has run out.

use std::collections::HashMap;
use std::sync::Arc;

use adjutant_core::ids::{RunId, ThreadId};
use adjutant_core::limits;
use adjutant_core::message::Message;
use adjutant_core::model::{ModelRequest, PromptMessage, Purpose};
use adjutant_core::prompt::title;
use adjutant_core::run::state::{Outcome, Phase};
use adjutant_core::scope::Scope;
use adjutant_store::error::StoreError;
use adjutant_store::steps::StepKind;
use adjutant_store::threads;

use super::aside::{self, Asked};
use super::assistant;
use super::driver::Driver;
use crate::engine::Engine;
use crate::threads::change::{ThreadError, tell};

/// A crash leaves the claim for so much longer than the call takes.
const CLAIM_SPARE: std::time::Duration = limits::LEASE;

impl Driver {
    /// Begins to ask for a title where this run has earned one and a small model is there.
    pub(super) fn give_title(&self) {
        let succeeded = matches!(self.state.phase, Phase::Finished { outcome: Outcome::Succeeded });
        if !succeeded || self.context.hidden || !self.engine.inner.parts.llm.has_small_model() {
            return;
        }
        let (engine, scope) = (self.engine.clone(), self.context.scope.clone());
        let (thread, run) = (self.context.thread, self.context.lease.run);
        let tail: Vec<Arc<Message>> = self.tail.clone();
        self.engine.supervisor().spawn("title", async move {
            if let Err(error) = engine.give_title(&scope, thread, run, &tail).await {
                tracing::warn!(thread.id = %thread, %error, "the thread gets no title for now");
            }
        });
    }
}

impl Engine {
    async fn give_title(
        &self,
        scope: &Scope,
        thread: ThreadId,
        run: RunId,
        tail: &[Arc<Message>],
    ) -> Result<(), ThreadError> {
        let Some(prompt) = title::build(tail) else { return Ok(()) };
        let Some(request) = self.claim_title(scope, thread, prompt).await? else { return Ok(()) };
        let owner = scope.owner();
        let Some(Asked { answer, step }) =
            self.ask_aside(StepKind::Title, request, limits::TITLE_TIME, limits::TITLE_ANSWER_BYTES).await
        else {
            // Nobody failed: the claim is given back.
            self.store().scoped(&owner, async |tx| threads::release_title(tx, thread).await).await?;
            return Ok(());
        };
        if let Err(error) = &answer {
            tracing::info!(thread.id = %thread, reason = %error, "no title, the next run that ends asks again");
        }
        let accepted = answer.as_ref().ok().and_then(|answer| title::accept(&answer.text));
        let usage = step.usage;
        self.in_thread(&owner, thread, async |_, tx, _, after| {
            threads::add_usage(tx, thread, usage).await?;
            aside::keep(tx, run, step).await?;
            match &accepted {
                Some(title) => {
                    // A person may have been faster.
                    if let Some(named) = threads::name(tx, thread, title).await? {
                        after.events.push(tell(tx, &named).await?);
                    }
                }
                None => threads::release_title(tx, thread).await?,
            }
            Ok(())
        })
        .await
    }

    /// The request for a title, if this caller is the one who may make it and its user may ask a model for it. One model is
    /// asked: no dearer one in its place.
    async fn claim_title(
        &self,
        scope: &Scope,
        thread: ThreadId,
        messages: Vec<PromptMessage>,
    ) -> Result<Option<ModelRequest>, StoreError> {
        let parts = &self.inner.parts;
        self.store()
            .scoped(&scope.owner(), async |tx| {
                let lease = limits::TITLE_TIME + CLAIM_SPARE;
                if !threads::claim_title(tx, thread, lease, limits::TITLE_TRIES).await? {
                    return Ok(None);
                }
                // With the rights and keys that there are now.
                let loaded = assistant::load(tx, parts, scope).await?;
                let access = loaded.assistant.access;
                let planned = parts.llm.plan(&[], Purpose::Small, &access).ok().filter(|_| loaded.is_active);
                let Some(model) = planned.and_then(|models| models.into_iter().next()) else {
                    threads::release_title(tx, thread).await?;
                    return Ok(None);
                };
                Ok(Some(ModelRequest {
                    models: vec![model],
                    purpose: Purpose::Small,
                    access,
                    messages,
                    files: HashMap::new(),
                    tools: Vec::new(),
                    max_output_tokens: limits::TITLE_TOKENS,
                    temperature: None,
                }))
            })
            .await
    }
}
