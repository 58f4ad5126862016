//! One live connection: the list of tools, calls, resources and prompts. Knows nothing of reconnecting.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use adjutant_core::question::CallDoor;
use adjutant_core::tool::{AddedBy, ToolReply};
use futures::future::{BoxFuture, Fuse, FusedFuture, pending};
use parking_lot::RwLock;
use rmcp::model::{
    CallToolRequest, CallToolRequestParams, CancelledNotification, CancelledNotificationParam, ClientNotification,
    ClientRequest, InputRequest, InputRequiredResult, JsonObject, PaginatedRequestParams, RequestId, RequestMetaObject,
    ServerResult, SubscriptionFilter,
};
use rmcp::service::{PeerRequestOptions, RunningServiceCancellationToken, ServiceError};
use rmcp::{Peer, RoleClient};
use serde_json::Value;
use tokio::sync::Notify;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use crate::base::Base;
use crate::calls::{Budget, Call, Calls};
use crate::config::Server;
use crate::elicit;
use crate::failure::{CallFailure, call as call_failure};
use crate::handler::capabilities;
use crate::options::Limits;
use crate::reply;
use crate::secrets::Secrets;
use crate::stdio::Watched;
use crate::tools::Tools;

/// Pages of one listing; a server that goes on for ever is cut here.
pub(crate) const PAGES: usize = 64;
/// Times that one call may be sent because its server wants to know more, or wants to be asked again.
const ROUNDS: u32 = 12;
/// The pause before a server that only wants to be asked again is; it doubles.
const FIRST_PAUSE: Duration = Duration::from_millis(100);

/// Why the tools could not be read.
pub(crate) struct ListFailure {
    pub(crate) reason: String,
    /// There was no answer at all.
    pub(crate) silent: bool,
}

pub(crate) struct Session {
    pub(crate) peer: Peer<RoleClient>,
    server: String,
    added_by: AddedBy,
    base: Arc<Base>,
    calls: Arc<Calls>,
    pub(crate) secrets: Secrets,
    /// Cancelled when the connection is known to be of no more use.
    pub(crate) gone: CancellationToken,
    /// The server says that its tools changed, or somebody doubts that it is well.
    pub(crate) changed: Arc<Notify>,
    tools: RwLock<Arc<Tools>>,
    /// It does not only know of resources, as many a library says for its servers, but has some.
    offers_resources: AtomicBool,
}

/// A session and what its keeper needs: how to end it and how to learn that it has ended.
pub(crate) struct Live {
    pub(crate) session: Arc<Session>,
    pub(crate) ended: Fuse<BoxFuture<'static, ()>>,
    pub(crate) cancel: RunningServiceCancellationToken,
    pub(crate) child: Option<Watched>,
}

impl Session {
    pub(crate) fn new(
        peer: Peer<RoleClient>,
        server: &Server,
        base: &Arc<Base>,
        gone: CancellationToken,
        changed: Arc<Notify>,
        calls: Arc<Calls>,
    ) -> Self {
        Self {
            peer,
            server: server.name.clone(),
            added_by: server.added_by,
            base: Arc::clone(base),
            calls,
            secrets: Secrets::of(server),
            gone,
            changed,
            tools: RwLock::default(),
            offers_resources: AtomicBool::new(false),
        }
    }

    pub(crate) fn is_gone(&self) -> bool {
        self.gone.is_cancelled() || self.peer.is_transport_closed()
    }

    pub(crate) fn tools(&self) -> Arc<Tools> {
        Arc::clone(&self.tools.read())
    }

    pub(crate) fn protocol(&self) -> Option<String> {
        self.peer.peer_info().map(|info| info.protocol_version.to_string())
    }

    pub(crate) fn limits(&self) -> &Limits {
        &self.base.options.limits
    }

    pub(crate) fn added_by(&self) -> AddedBy {
        self.added_by
    }

    pub(crate) fn has_resources(&self) -> bool {
        self.peer.peer_info().is_some_and(|info| info.capabilities.resources.is_some())
    }

    pub(crate) fn offers_resources(&self) -> bool {
        self.offers_resources.load(Ordering::Relaxed)
    }

    pub(crate) fn has_prompts(&self) -> bool {
        self.peer.peer_info().is_some_and(|info| info.capabilities.prompts.is_some())
    }

    /// Reads the list of tools again. On failure the old list stays.
    pub(crate) async fn refresh(&self, limits: &Limits) -> Result<(), ListFailure> {
        let listed = timeout(limits.list, self.list(limits)).await.map_err(|_| ListFailure {
            reason: format!("it did not list its tools within {:?}", limits.list),
            silent: true,
        })?;
        let mut tools = listed.map_err(|reason| ListFailure { reason, silent: false })?;
        tools.retain(|tool| {
            let hides = serde_json::to_string(tool).is_ok_and(|text| self.secrets.are_in(&text));
            if hides {
                tracing::warn!(
                    mcp.server = self.server,
                    "a tool is left out, because its definition holds a credential"
                );
            }
            !hides
        });
        *self.tools.write() = Arc::new(Tools::accept(&self.server, self.added_by, tools, limits));
        let any = self.has_resources() && self.resources(limits).await.is_ok_and(|found| !found.is_empty());
        self.offers_resources.store(any, Ordering::Relaxed);
        Ok(())
    }

    async fn list(&self, limits: &Limits) -> Result<Vec<rmcp::model::Tool>, String> {
        let mut tools = Vec::new();
        if self.peer.peer_info().is_some_and(|info| info.capabilities.tools.is_none()) {
            return Ok(tools);
        }
        let mut cursor = None;
        for _ in 0..PAGES {
            let page = PaginatedRequestParams::default().with_cursor(cursor);
            let listed = self.peer.list_tools(Some(page)).await.map_err(|error| match call_failure(error) {
                CallFailure::NotSent(reason) | CallFailure::Unavailable(reason) | CallFailure::Lost(reason) => reason,
                CallFailure::Refused(_) | CallFailure::Answered(_) => "it refused to list its tools".to_owned(),
            })?;
            tools.extend(listed.tools);
            cursor = listed.next_cursor;
            // A few more than are kept, so that what is left out can be counted.
            if cursor.is_none() || tools.len() > limits.tools.saturating_mul(2) {
                break;
            }
        }
        Ok(tools)
    }

    /// Calls a tool. Dropping the future, also at the time limit, tells the server to cancel.
    pub(crate) async fn call(
        &self,
        tool: &str,
        arguments: JsonObject,
        limit: Duration,
        door: CallDoor,
    ) -> Result<ToolReply, CallFailure> {
        let called = self.call_openly(tool, arguments, limit, door).await;
        called.map(|reply| self.secrets.clean_reply(reply)).map_err(|failure| self.secrets.clean_failure(failure))
    }

    async fn call_openly(
        &self,
        tool: &str,
        arguments: JsonObject,
        limit: Duration,
        door: CallDoor,
    ) -> Result<ToolReply, CallFailure> {
        let call = Call::new(door, self.secrets.clone());
        let mut budget = Budget::new(limit, &call);
        let result_bytes = self.base.options.limits.result_bytes;
        let late = || {
            // Is it only this call, or the whole server?
            self.changed.notify_one();
            CallFailure::Lost(format!("no answer within {limit:?}"))
        };
        let mut request = CallToolRequestParams::new(tool.to_owned()).with_arguments(arguments);
        let mut pause = FIRST_PAUSE;
        for _ in 0..ROUNDS {
            let sent = self.send(request.clone(), &call);
            let answer = budget.spend(sent).await.ok_or_else(late)?;
            let wanted = match answer {
                Ok(ServerResult::CallToolResult(result)) => return Ok(reply::from_result(&result, result_bytes)),
                Ok(ServerResult::InputRequiredResult(wanted)) => wanted,
                Ok(ServerResult::CreateTaskResult(_)) => {
                    let reason = "it went on in the background, which is not supported here";
                    return Err(CallFailure::Lost(reason.to_owned()));
                }
                Ok(_) => return Err(call_failure(ServiceError::UnexpectedResponse)),
                Err(error) => {
                    return match call_failure(error) {
                        CallFailure::Answered(text) => Ok(reply::from_error(&text, result_bytes)),
                        failure => Err(failure),
                    };
                }
            };
            let Ok(responses) = answers(&call, &wanted).await else {
                return Ok(reply::from_error("the tool asks for something that is not offered here", result_bytes));
            };
            if responses.is_empty() {
                budget.spend(sleep(pause)).await.ok_or_else(late)?;
                pause *= 2;
            }
            request.input_responses = (!responses.is_empty()).then(|| responses.into_iter().collect());
            request.request_state = wanted.request_state;
        }
        Ok(reply::from_error("the tool asked for more input too often", result_bytes))
    }

    /// One request of a call, and its answer.
    async fn send(&self, params: CallToolRequestParams, call: &Arc<Call>) -> Result<ServerResult, ServiceError> {
        let stateless = self.peer.peer_info().is_some_and(|info| !info.protocol_version.has_initialize());
        let mut options = PeerRequestOptions::no_options();
        // Where each request says what its client can do, it says so for this very call.
        if stateless && self.base.options.asks && !call.answers() {
            let mut meta = RequestMetaObject::new();
            meta.set_client_capabilities(capabilities(false));
            options = options.with_meta(meta);
        }
        let request = ClientRequest::CallToolRequest(CallToolRequest::new(params));
        let handle = {
            let _sending = self.calls.sending.lock().await;
            let handle = self.peer.send_request_with_option(request, options).await?;
            self.calls.enter(handle.id.clone(), handle.progress_token.clone(), call);
            handle
        };
        let mut under_way = UnderWay { session: self, call, id: handle.id.clone(), answered: false };
        let answer = handle.await_response().await;
        under_way.answered = true;
        answer
    }
}

/// A request without an answer yet. Dropping it tells the server that nobody waits for one.
struct UnderWay<'a> {
    session: &'a Session,
    call: &'a Call,
    id: RequestId,
    answered: bool,
}

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        self.session.calls.leave(&self.id);
        if self.answered || self.session.is_gone() {
            return;
        }
        let peer = self.session.peer.clone();
        let cancelled = CancelledNotification::new(CancelledNotificationParam::new(Some(self.id.clone()), None));
        let told = self.call.abandon();
        self.session.base.spawn(async move {
            let _ = peer.send_notification(ClientNotification::CancelledNotification(cancelled)).await;
            drop(told);
        });
    }
}

/// What a server asked for instead of an answer. An error where something else than a form is wanted.
async fn answers(call: &Call, wanted: &InputRequiredResult) -> Result<Vec<(String, Value)>, ()> {
    let mut responses = Vec::new();
    for (key, request) in wanted.input_requests.iter().flatten() {
        let InputRequest::Elicitation(request) = request else { return Err(()) };
        let result = elicit::put(call, request.params.clone()).await;
        responses.push((key.clone(), serde_json::to_value(result).map_err(|_| ())?));
    }
    Ok(responses)
}

impl Live {
    /// Waits for the end of the connection and says why it ended.
    pub(crate) async fn end(&mut self) -> String {
        let gone = self.session.gone.clone();
        tokio::select! {
            () = &mut self.ended => {}
            () = gone.cancelled() => {}
        }
        self.session.gone.cancel();
        match &mut self.child {
            Some(child) => child.epitaph().await,
            None => "the connection was lost".to_owned(),
        }
    }

    /// Ends the session in order. What does not end in time goes on by itself and ends with a kill.
    pub(crate) async fn close(mut self, grace: Duration) {
        self.session.gone.cancel();
        self.cancel.cancel();
        if !self.ended.is_terminated() && timeout(grace, &mut self.ended).await.is_err() {
            tracing::debug!(mcp.server = self.session.server, "an MCP session did not end in time");
        }
    }
}

/// Follows the changes of a stateless server, which tells them only to those who ask. Never ends.
pub(crate) async fn follow(session: Arc<Session>, pause: Duration) -> Infallible {
    let asks = session.peer.peer_info().is_some_and(|info| {
        let tells = info.capabilities.tools.as_ref().and_then(|tools| tools.list_changed);
        !info.protocol_version.has_initialize() && tells == Some(true)
    });
    if !asks {
        return pending().await;
    }
    loop {
        let filter = SubscriptionFilter::builder().tools_list_changed().build();
        if let Ok(mut changes) = session.peer.listen(filter).await {
            // Also for what changed between the listing and now.
            session.changed.notify_one();
            while let Ok(Some(_)) = changes.next().await {
                session.changed.notify_one();
            }
        }
        tokio::time::sleep(pause).await;
    }
}
