//! What a client asks for: done one after the other, in tasks of their own, so that neither a slow reader nor a lost
//! connection holds a transaction open, and so that replies come in the order of the frames.

use std::collections::VecDeque;

use adjutant_core::ids::{ApprovalId, QuestionId, RunId};
use adjutant_core::limits;
use adjutant_core::question::Answer;
use adjutant_core::scope::Scope;
use adjutant_engine::engine::Engine;
use adjutant_engine::runs::submission::{Accepted, SubmitError, TryAgain};
use adjutant_store::approvals::Decision;
use tokio::sync::oneshot;

use crate::problem::{Problem, code_and_sentence};
use crate::wire::client::{BadFrame, Submit, echoed};
use crate::wire::server::ServerFrame;

#[derive(Debug)]
pub(super) enum Request {
    Submit(Submit),
    TryAgain(TryAgain),
    Cancel(RunId),
    Decide {
        approval: ApprovalId,
        decision: Decision,
        reason: Option<String>,
    },
    Answer {
        question: QuestionId,
        answer: Answer,
    },
    /// A frame that was not understood: its error takes its turn.
    Bad(BadFrame),
}

pub(super) struct Requests {
    engine: Engine,
    scope: Scope,
    waiting: VecDeque<Request>,
    current: Option<oneshot::Receiver<Option<String>>>,
}

impl Requests {
    pub(super) fn new(engine: Engine, scope: Scope) -> Self {
        Self { engine, scope, waiting: VecDeque::new(), current: None }
    }

    pub(super) fn has_room(&self) -> bool {
        self.waiting.len() < limits::WS_REQUESTS
    }

    pub(super) fn push(&mut self, request: Request) {
        self.waiting.push_back(request);
        self.start();
    }

    /// Resolves when a request is done, with the frame that says so, if there is one to send. Never while there is none.
    pub(super) async fn next(&mut self) -> Option<String> {
        let Some(current) = &mut self.current else { return std::future::pending().await };
        let reply = current.await;
        self.current = None;
        self.start();
        // The task panicked; its supervisor has told.
        reply.unwrap_or_else(|_| {
            let problem = Problem::internal();
            Some(error(problem.code, &problem.detail, None))
        })
    }

    fn start(&mut self) {
        if self.current.is_some() {
            return;
        }
        let Some(request) = self.waiting.pop_front() else { return };
        let (done, receiver) = oneshot::channel();
        self.current = Some(receiver);
        let (engine, scope) = (self.engine.clone(), self.scope.clone());
        self.engine.supervisor().spawn("websocket request", async move {
            let reply = Box::pin(perform(&engine, &scope, request)).await;
            let _ = done.send(reply);
        });
    }
}

pub(super) fn error(code: &str, message: &str, client_message_id: Option<&str>) -> String {
    ServerFrame::Error { code, message, client_message_id }.to_text()
}

async fn perform(engine: &Engine, scope: &Scope, request: Request) -> Option<String> {
    let done = match request {
        Request::Submit(frame) => return Some(submit(engine, scope, frame).await),
        Request::TryAgain(again) => return Some(try_again(engine, scope, again).await),
        Request::Bad(bad) => return Some(error(bad.code, &bad.message, bad.client_message_id.as_deref())),
        Request::Cancel(run) => engine.cancel(&scope.owner(), run).await,
        Request::Decide { approval, decision, reason } => {
            engine.decide(&scope.owner(), approval, decision, reason.as_deref()).await
        }
        Request::Answer { question, answer } => engine.answer(&scope.owner(), question, answer).await,
    };
    let refused = done.err()?;
    let (code, message) = code_and_sentence(&refused);
    Some(error(code, &message, None))
}

async fn submit(engine: &Engine, scope: &Scope, frame: Submit) -> String {
    let client_message_id = frame.client_message_id.clone();
    let accepted = match frame.into_submission() {
        Ok((submission, None)) => engine.submit(scope, submission).await,
        Ok((submission, Some(edited))) => engine.edit(scope, edited, submission).await,
        Err(refused) => Err(refused.into()),
    };
    reply(&client_message_id, accepted)
}

async fn try_again(engine: &Engine, scope: &Scope, again: TryAgain) -> String {
    let client_message_id = again.client_request_id.clone().unwrap_or_default();
    let accepted = engine.try_again(scope, again).await;
    reply(&client_message_id, accepted)
}

fn reply(client_message_id: &str, accepted: Result<Accepted, SubmitError>) -> String {
    match accepted {
        Ok(accepted) => {
            let Accepted { thread_id, message_id, run_id, seq, repeated: _ } = accepted;
            ServerFrame::Ack { client_message_id, thread_id, message_id, run_id, seq }.to_text()
        }
        Err(refused) => {
            let (code, message) = code_and_sentence(&refused);
            error(code, &message, echoed(client_message_id))
        }
    }
}
