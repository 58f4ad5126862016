//! A response as a stream of chunks. Its head waits for the first word, but not longer than for a
//! keep-alive comment, so that what fails at once has a status of its own; what fails later is the
//! last event, an error object, and no `[DONE]` follows it.

use std::collections::VecDeque;
use std::convert::Infallible;

use adjutant_core::limits;
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures::{Stream, StreamExt, stream};
use http::{HeaderName, HeaderValue};

use super::answer::{Head, Piece};
use super::failure::Failure;
use super::headers;
use super::telling::{Step, Telling};

/// Proxies must not collect the stream.
const BUFFERING: HeaderName = HeaderName::from_static("x-accel-buffering");

struct Writer {
    telling: Telling,
    head: Head,
    with_usage: bool,
    /// Written, and not yet sent.
    ready: VecDeque<String>,
    is_over: bool,
}

pub(super) async fn answer(mut telling: Telling, with_usage: bool) -> Result<Response, Failure> {
    let first = tokio::time::timeout(limits::STREAM_KEEP_ALIVE, telling.step()).await.ok();
    let (thread, run) = (telling.follower.place().thread, telling.follower.place().run);
    let head = Head::of(run);
    let ready = VecDeque::from([head.chunk(Piece::role(), None)]);
    let mut writer = Writer { telling, head, with_usage, ready, is_over: false };
    match first {
        Some(Step::Failed(failure)) => return Err(failure),
        Some(step) => writer.write(step),
        None => {}
    }
    let events = stream::unfold(writer, |mut writer| async move {
        let data = writer.next().await?;
        Some((data, writer))
    });
    let mut response = respond(events);
    headers::name_run(response.headers_mut(), thread, run);
    Ok(response)
}

/// The events as they come, and a comment now and then while none does.
fn respond(events: impl Stream<Item = String> + Send + 'static) -> Response {
    let events = events.map(|data| Ok::<_, Infallible>(Event::default().data(data)));
    let keep_alive = KeepAlive::new().interval(limits::STREAM_KEEP_ALIVE).text("keep-alive");
    let mut response = Sse::new(events).keep_alive(keep_alive).into_response();
    response.headers_mut().insert(BUFFERING, HeaderValue::from_static("no"));
    response
}

impl Writer {
    async fn next(&mut self) -> Option<String> {
        loop {
            if let Some(data) = self.ready.pop_front() {
                return Some(data);
            }
            if self.is_over {
                return None;
            }
            let step = self.telling.step().await;
            self.write(step);
        }
    }

    fn write(&mut self, step: Step) {
        match step {
            Step::Text(text) => self.ready.push_back(self.head.chunk(Piece::text(&text), None)),
            Step::Thought(thought) => self.ready.push_back(self.head.chunk(Piece::thought(&thought), None)),
            Step::Failed(failure) => {
                self.ready.push_back(failure.body());
                self.is_over = true;
            }
            Step::End(ending) => {
                for (index, call) in ending.calls.iter().enumerate() {
                    self.ready.push_back(self.head.chunk(Piece::call(index, call), None));
                }
                self.ready.push_back(self.head.chunk(Piece::default(), Some(ending.finish)));
                if self.with_usage {
                    self.ready.push_back(self.head.usage_chunk(ending.usage.into()));
                }
                self.ready.push_back("[DONE]".to_owned());
                self.is_over = true;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt;
    use tokio::time::Instant;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_quiet_stream_is_kept_alive_by_comments() {
        let begun = Instant::now();
        let mut body = respond(stream::iter(["{}".to_owned()]).chain(stream::pending())).into_body();
        for wanted in ["data: {}\n\n", ": keep-alive\n\n", ": keep-alive\n\n"] {
            let frame = body.frame().await.unwrap().unwrap().into_data().unwrap();
            assert_eq!(frame, wanted);
        }
        assert_eq!(begun.elapsed().as_secs(), 2 * limits::STREAM_KEEP_ALIVE.as_secs());
    }
}
