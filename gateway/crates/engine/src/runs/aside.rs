//! Model calls beside the runs: a title, a summary. Nothing of them is streamed to anybody; they are on record as steps of
//! a run that has ended, with what they used and who paid.

use std::time::Duration;

use adjutant_core::ids::{RunId, StepId};
use adjutant_core::message::without_nul;
use adjutant_core::model::{ModelAnswer, ModelError, ModelErrorKind, ModelEvent, ModelRequest, Usage};
use adjutant_store::error::StoreError;
use adjutant_store::steps::{self, ModelCallStep, StepKind};
use adjutant_store::tx::Tx;
use futures::StreamExt;

use super::thinking::{shown, stop};
use crate::engine::Engine;

/// How a call beside the runs ended.
pub(crate) struct Asked {
    pub(crate) answer: Result<ModelAnswer, ModelError>,
    /// Its number is not known yet.
    pub(crate) step: ModelCallStep,
}

impl Engine {
    /// Asks in at most this time for at most so many bytes. `None`: the server stops, and nothing is on record.
    pub(crate) async fn ask_aside(
        &self,
        kind: StepKind,
        request: ModelRequest,
        time: Duration,
        bytes: usize,
    ) -> Option<Asked> {
        let clock = &self.inner.parts.clock;
        let (model, begun) = (request.models.first().cloned(), clock.now());
        let stopping = self.supervisor().stopping().clone();
        let answer = tokio::select! {
            biased;
            () = stopping.cancelled() => return None,
            asked = tokio::time::timeout(time, self.answer_aside(request, bytes)) => asked
                .unwrap_or_else(|_| Err(ModelError::new(ModelErrorKind::TimedOut, "the small model takes too long"))),
        };
        let empty = ModelCallStep {
            number: 0,
            id: StepId::new(),
            kind,
            model,
            stop: None,
            error: None,
            usage: Usage::default(),
            provider: None,
            paid_by: None,
            cost: None,
            passed_over: Vec::new(),
            started_at: begun,
            finished_at: clock.now(),
        };
        let step = match &answer {
            Ok(answer) => ModelCallStep {
                model: Some(without_nul(answer.model.clone())),
                stop: Some(stop(answer.stop).to_owned()),
                usage: answer.usage,
                provider: Some(answer.provider.clone()),
                paid_by: Some(answer.paid_by),
                cost: answer.cost,
                passed_over: shown(answer.passed_over.clone()),
                ..empty
            },
            Err(error) => ModelCallStep {
                error: Some((error.kind.code().to_owned(), without_nul(error.message.clone()))),
                passed_over: shown(error.passed_over.clone()),
                ..empty
            },
        };
        Some(Asked { answer, step })
    }

    async fn answer_aside(&self, request: ModelRequest, bytes: usize) -> Result<ModelAnswer, ModelError> {
        let mut stream = self.inner.parts.llm.stream(request);
        let mut length = 0;
        while let Some(event) = stream.next().await {
            match event? {
                ModelEvent::TextDelta(text) => length += text.len(),
                ModelEvent::ThinkingDelta(_) => {}
                ModelEvent::Finished(answer) => return Ok(answer),
            }
            if length > bytes {
                return Err(ModelError::new(ModelErrorKind::Garbled, "the small model's answer is too long"));
            }
        }
        Err(ModelError::new(ModelErrorKind::Truncated, "the small model's answer has no end"))
    }
}

/// Puts the call behind the steps of the run, which has ended.
pub(crate) async fn keep(tx: &mut Tx, run: RunId, step: ModelCallStep) -> Result<(), StoreError> {
    let number = steps::number_behind(tx, run).await?;
    steps::insert(tx, run, &ModelCallStep { number, ..step }).await
}
