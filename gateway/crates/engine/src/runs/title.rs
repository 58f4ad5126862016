//! A thread's title from the small model, once a run has ended well. It is asked beside the runs, which do not wait for it;
//! of replicas only the one that has the claim asks, and outside of every transaction. A failure leaves the thread without
//! a title until its next run ends, and so does a crash once the claim has run out.

use std::collections::HashMap;
use std::sync::Arc;

use adjutant_core::ids::ThreadId;
use adjutant_core::limits;
use adjutant_core::message::Message;
use adjutant_core::model::{ModelEvent, ModelRequest, PromptMessage, Purpose, Usage};
use adjutant_core::prompt::title;
use adjutant_core::run::state::{Outcome, Phase};
use adjutant_core::scope::Scope;
use adjutant_store::error::StoreError;
use adjutant_store::threads;
use futures::StreamExt;

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
        let (engine, scope, thread) = (self.engine.clone(), self.context.scope.clone(), self.context.thread);
        let tail: Vec<Arc<Message>> = self.tail.clone();
        self.engine.supervisor().spawn("title", async move {
            if let Err(error) = engine.give_title(&scope, thread, &tail).await {
                tracing::warn!(thread.id = %thread, %error, "the thread gets no title for now");
            }
        });
    }
}

impl Engine {
    async fn give_title(&self, scope: &Scope, thread: ThreadId, tail: &[Arc<Message>]) -> Result<(), ThreadError> {
        let Some(prompt) = title::build(tail) else { return Ok(()) };
        let Some(request) = self.claim_title(scope, thread, prompt).await? else { return Ok(()) };
        let stopping = self.supervisor().stopping().clone();
        let asked = tokio::select! {
            biased;
            () = stopping.cancelled() => Err("the server stops".to_owned()),
            asked = tokio::time::timeout(limits::TITLE_TIME, self.ask_for_title(request)) => {
                asked.unwrap_or_else(|_| Err("the small model takes too long".to_owned()))
            }
        };
        let owner = scope.owner();
        let (text, usage) = match asked {
            Ok(answer) => answer,
            Err(reason) => {
                tracing::info!(thread.id = %thread, reason, "no title, the next run that ends asks again");
                self.store().scoped(&owner, async |tx| threads::release_title(tx, thread).await).await?;
                return Ok(());
            }
        };
        self.in_thread(&owner, thread, async |_, tx, _, after| {
            threads::add_usage(tx, thread, usage).await?;
            match title::accept(&text) {
                Some(title) => {
                    // A person may have been faster.
                    if let Some(named) = threads::name(tx, thread, &title).await? {
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

    async fn ask_for_title(&self, request: ModelRequest) -> Result<(String, Usage), String> {
        let mut stream = self.inner.parts.llm.stream(request);
        let mut length = 0;
        while let Some(event) = stream.next().await {
            match event {
                Ok(ModelEvent::TextDelta(text)) => length += text.len(),
                Ok(ModelEvent::ThinkingDelta(_)) => {}
                Ok(ModelEvent::Finished(answer)) => return Ok((answer.text, answer.usage)),
                Err(error) => return Err(error.message),
            }
            if length > limits::TITLE_ANSWER_BYTES {
                return Err("the small model's answer is no title".to_owned());
            }
        }
        Err("the small model's answer has no end".to_owned())
    }
}
