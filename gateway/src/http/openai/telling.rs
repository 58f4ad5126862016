//! What a response is told of its run, piece by piece, up to its end: the finish reason, the calls of
//! the caller, a notice, and what it cost.

use adjutant_core::ids::RunId;
use adjutant_core::model::Usage;
use adjutant_store::error::StoreError;
use adjutant_store::ledger::LedgerRow;
use adjutant_store::runs::{Run, RunStatus};
use adjutant_store::steps::{self, StepKind};
use adjutant_store::tx::Tx;
use adjutant_store::{ledger, runs};

use super::failure::Failure;
use super::follow::{Follower, Heard};
use super::guard::Watch;
use super::visible::PART;
use super::waiting::{self, CallerCall};
use crate::http::following::Place;

#[derive(Debug)]
pub(in crate::http) enum Step {
    Text(String),
    /// What the model thinks, apart from the text.
    Thought(String),
    End(Ending),
    Failed(Failure),
}

/// The end of a response that did not fail.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::http) struct Ending {
    pub(in crate::http) finish: &'static str,
    pub(in crate::http) calls: Vec<CallerCall>,
    pub(in crate::http) usage: Usage,
}

pub(in crate::http) struct Telling {
    pub(super) follower: Follower,
    watch: Watch,
    /// What the run had used before this response began.
    before: Usage,
    holds_text: bool,
    /// Heard, and not yet told: a call of [`Telling::step`] may be dropped at any point.
    heard: Option<Heard>,
    /// Told after the text that closes it.
    ending: Option<Ending>,
}

impl Telling {
    pub(super) fn new(follower: Follower, watch: Watch, before: Usage) -> Self {
        Self { follower, watch, before, holds_text: false, heard: None, ending: None }
    }

    pub(in crate::http) async fn step(&mut self) -> Step {
        loop {
            if let Some(ending) = self.ending.take() {
                self.watch.release();
                return Step::End(ending);
            }
            if self.heard.is_none() {
                self.heard = Some(self.follower.next().await);
            }
            let ending = match &self.heard {
                Some(Heard::Waits) => waiting_end(self.follower.place(), self.before).await,
                Some(Heard::Asks(name)) => asking_end(self.follower.place(), name, self.before).await,
                Some(Heard::Finished(usage)) => finished_end(self.follower.place(), less(*usage, self.before)).await,
                Some(Heard::Text(_) | Heard::Thought(_) | Heard::Failed(_) | Heard::Cut(_)) | None => Ok(None),
            };
            match (self.heard.take(), ending) {
                (Some(Heard::Text(text)), _) => {
                    self.holds_text = true;
                    return Step::Text(text);
                }
                (Some(Heard::Thought(thought)), _) => return Step::Thought(thought),
                (Some(Heard::Failed(failure)), _) => {
                    self.watch.release();
                    return Step::Failed(self.of_this_run(failure));
                }
                (Some(Heard::Cut(failure)), _) => return Step::Failed(self.of_this_run(failure)),
                (_, Err(error)) => return Step::Failed(self.of_this_run(error.into())),
                (_, Ok(Some((notice, ending)))) => {
                    self.ending = Some(ending);
                    if let Some(notice) = notice {
                        return Step::Text(if self.holds_text { format!("{PART}{notice}") } else { notice });
                    }
                }
                (_, Ok(None)) => {}
            }
        }
    }

    fn of_this_run(&self, failure: Failure) -> Failure {
        failure.in_run(self.follower.place().thread, self.follower.place().run)
    }
}

/// A notice, if there is one to close the text, and the end. `None`: the run has gone on meanwhile.
type Closing = Option<(Option<String>, Ending)>;

async fn finished_end(place: &Place, usage: Usage) -> Result<Closing, StoreError> {
    let run = place.run;
    let steps = place.engine.store().scoped(&place.owner, async |tx| steps::of_run(tx, run).await).await?;
    // The thread's title may have been asked for meanwhile.
    let last = steps.iter().rfind(|step| step.kind == StepKind::ModelCall);
    let finish = match last.and_then(|step| step.stop.as_deref()) {
        Some("length") => "length",
        Some("filtered") => "content_filter",
        _ => "stop",
    };
    Ok(Some((None, Ending { finish, calls: Vec::new(), usage })))
}

async fn waiting_end(place: &Place, before: Usage) -> Result<Closing, StoreError> {
    let id = place.run;
    let (run, rows) = place.engine.store().scoped(&place.owner, async |tx| read(tx, id).await).await?;
    if run.status != RunStatus::Waiting {
        return Ok(None);
    }
    let calls = waiting::with_caller(&rows);
    let finish = if calls.is_empty() { "stop" } else { "tool_calls" };
    let ending = Ending { finish, calls, usage: less(run.usage, before) };
    Ok(Some((waiting::consent(id, &rows), ending)))
}

/// A tool asks the person while its call is under way; the run goes on without this response.
async fn asking_end(place: &Place, name: &str, before: Usage) -> Result<Closing, StoreError> {
    let id = place.run;
    let run = place.engine.store().scoped(&place.owner, async |tx| runs::load(tx, id).await).await?;
    if run.status.is_final() {
        return Ok(None);
    }
    let ending = Ending { finish: "stop", calls: Vec::new(), usage: less(run.usage, before) };
    Ok(Some((Some(waiting::question(id, name)), ending)))
}

async fn read(tx: &mut Tx, run: RunId) -> Result<(Run, Vec<LedgerRow>), StoreError> {
    Ok((runs::load(tx, run).await?, ledger::of_run(tx, run).await?))
}

pub(in crate::http) fn less(usage: Usage, before: Usage) -> Usage {
    Usage {
        input_tokens: usage.input_tokens.saturating_sub(before.input_tokens),
        output_tokens: usage.output_tokens.saturating_sub(before.output_tokens),
        cached_input_tokens: usage.cached_input_tokens.saturating_sub(before.cached_input_tokens),
        cache_write_tokens: usage.cache_write_tokens.saturating_sub(before.cache_write_tokens),
    }
}
