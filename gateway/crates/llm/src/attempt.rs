//! One try of a call: the stream of the client crate, read event by event under two limits of time.

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use adjutant_core::model::ModelAnswer;
use futures::StreamExt;
use genai::chat::{ChatFrameSink, ChatStream, ChatStreamEvent, FrameCtx, RawFrameRef};
use tokio::time::{Instant, Sleep, sleep_until};
use tracing::Dispatch;

use crate::answer::Reader;
use crate::failure::{self, Failure};
use crate::redact::Redactor;
use crate::settings::{Provider, Timeouts};

/// Hands each event of a stream to the reader at the moment it arrives.
pub(crate) struct Tap(Mutex<Tapped>);

struct Tapped {
    reader: Reader,
    failure: Option<Failure>,
    last_event: Option<Instant>,
}

impl Tap {
    pub(crate) fn new(provider: Provider, redactor: Redactor) -> Self {
        Self(Mutex::new(Tapped { reader: Reader::new(provider, redactor), failure: None, last_event: None }))
    }

    /// Never contended: the stream is polled, and with it the tap, by one task.
    fn lock(&self) -> MutexGuard<'_, Tapped> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ChatFrameSink for Tap {
    fn on_frame(&self, _: &FrameCtx, frame: RawFrameRef<'_>) {
        let mut tapped = self.lock();
        tapped.last_event = Some(Instant::now());
        if tapped.failure.is_none() {
            tapped.failure = tapped.reader.read(frame.data).err();
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Progress {
    More,
    Ended,
}

/// Dropping it closes the connection, unless the answer has been read to its end.
pub(crate) struct Attempt {
    stream: ChatStream,
    tap: Arc<Tap>,
    redactor: Redactor,
    timeouts: Timeouts,
    /// When the reader last began to wait: time it spends elsewhere is not the provider's silence.
    waiting: Instant,
    /// Looked at when it fires and set anew then, not with each event.
    timer: Pin<Box<Sleep>>,
    ended: bool,
}

impl Attempt {
    pub(crate) fn new(stream: ChatStream, tap: Arc<Tap>, redactor: Redactor, timeouts: Timeouts) -> Self {
        let waiting = Instant::now();
        let timer = Box::pin(sleep_until(waiting + timeouts.first_byte.min(timeouts.idle)));
        Self { stream, tap, redactor, timeouts, waiting, timer, ended: false }
    }

    /// Waits for the next event of the stream. A cancelled wait loses nothing.
    pub(crate) async fn advance(&mut self) -> Result<Progress, Failure> {
        if self.ended {
            return Ok(Progress::Ended);
        }
        self.waiting = Instant::now();
        loop {
            tokio::select! {
                biased;
                item = next_quietly(&mut self.stream) => {
                    let progress = self.judge(item)?;
                    self.ended = progress == Progress::Ended;
                    return Ok(progress);
                }
                () = &mut self.timer => self.check_time()?,
            }
        }
    }

    fn judge(&self, item: Option<genai::Result<ChatStreamEvent>>) -> Result<Progress, Failure> {
        let mut tapped = self.tap.lock();
        if let Some(failure) = tapped.failure.take() {
            return Err(failure);
        }
        match item {
            None | Some(Ok(ChatStreamEvent::End(_))) => Ok(Progress::Ended),
            Some(Ok(_)) => Ok(Progress::More),
            Some(Err(_)) if tapped.reader.is_whole() => Ok(Progress::Ended),
            Some(Err(error @ (genai::Error::WebStream { .. } | genai::Error::HttpError { .. }))) => {
                Err(failure::transport(error, &self.redactor))
            }
            // The reader has seen the same event and found nothing wrong with it.
            Some(Err(_)) if tapped.last_event.is_some() => Ok(Progress::More),
            Some(Err(error)) => Err(failure::transport(error, &self.redactor)),
        }
    }

    fn check_time(&mut self) -> Result<(), Failure> {
        let last_event = self.tap.lock().last_event;
        let (since, limit) = match last_event {
            None => (self.waiting, self.timeouts.first_byte),
            Some(last_event) => (last_event.max(self.waiting), self.timeouts.idle),
        };
        let due = since + limit;
        if Instant::now() >= due {
            return Err(if last_event.is_none() { Failure::silent(limit) } else { Failure::stalled(limit) });
        }
        self.timer.as_mut().reset(due);
        Ok(())
    }

    pub(crate) fn take_text(&self) -> Option<String> {
        self.tap.lock().reader.take_text()
    }

    pub(crate) fn take_thinking(&self) -> Option<String> {
        self.tap.lock().reader.take_thinking()
    }

    pub(crate) fn has_begun(&self) -> bool {
        self.tap.lock().reader.has_begun()
    }

    /// It ended before anything came, and without its terminal marker.
    pub(crate) fn is_over_without_a_word(&self) -> bool {
        let tapped = self.tap.lock();
        self.ended && !tapped.reader.has_begun() && !tapped.reader.is_whole()
    }

    /// The answer, after [`Progress::Ended`].
    /// `mark` names the provider in what it takes back.
    pub(crate) fn finish(self, asked: &str, mark: &str) -> Result<ModelAnswer, Failure> {
        let reader = std::mem::take(&mut self.tap.lock().reader);
        reader.finish(asked, mark)
    }
}

/// The client crate logs what went wrong with address and body, so it is polled without a subscriber.
async fn next_quietly(stream: &mut ChatStream) -> Option<genai::Result<ChatStreamEvent>> {
    poll_fn(|context| tracing::dispatcher::with_default(&Dispatch::none(), || stream.poll_next_unpin(context))).await
}
