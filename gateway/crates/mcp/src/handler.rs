//! What a server may say and ask on its own: that its tools changed, how far a call is, and a form for a
//! person. Sampling and roots are not offered.

use std::sync::Arc;

use rmcp::model::{
    ClientCapabilities, ClientConfig, CustomRequest, CustomResult, ElicitRequestParams, ElicitResult,
    ElicitationAction, ElicitationCapability, ErrorCode, ErrorData, FormElicitationCapability, Implementation,
    ProgressNotificationParam, ProtocolVersion,
};
use rmcp::service::{InboundStreamOrigin, NotificationContext, RequestContext};
use rmcp::{ClientHandler, RoleClient};
use serde_json::json;
use tokio::sync::Notify;

use crate::calls::Calls;
use crate::elicit;

pub(crate) struct Handler {
    pub(crate) changed: Arc<Notify>,
    pub(crate) calls: Arc<Calls>,
    /// Somebody may answer questions.
    pub(crate) asks: bool,
}

/// What is announced where somebody may answer a question, and where nobody does.
pub(crate) fn capabilities(asks: bool) -> ClientCapabilities {
    let mut capabilities = ClientCapabilities::default();
    if asks {
        let form = FormElicitationCapability::default();
        capabilities.elicitation = Some(ElicitationCapability::default().with_form(form));
    }
    capabilities
}

impl ClientHandler for Handler {
    fn get_info(&self) -> ClientConfig {
        let adjutant = Implementation::new("adjutant", env!("CARGO_PKG_VERSION"));
        let mut info = ClientConfig::new(capabilities(self.asks), adjutant);
        // The library would announce the newest version, which knows no `initialize`, inside one.
        info.protocol_version = ProtocolVersion::LATEST_WITH_INITIALIZE;
        info
    }

    async fn on_tool_list_changed(&self, _: NotificationContext<RoleClient>) {
        self.changed.notify_one();
    }

    async fn on_resource_list_changed(&self, _: NotificationContext<RoleClient>) {
        self.changed.notify_one();
    }

    async fn on_progress(&self, news: ProgressNotificationParam, _: NotificationContext<RoleClient>) {
        self.calls.progress(news).await;
    }

    async fn create_elicitation(
        &self,
        params: ElicitRequestParams,
        context: RequestContext<RoleClient>,
    ) -> Result<ElicitResult, ErrorData> {
        let origin = context.extensions.get::<InboundStreamOrigin>();
        let Some(call) = self.calls.asking(origin).await else {
            return Ok(ElicitResult::new(ElicitationAction::Cancel));
        };
        Ok(tokio::select! {
            result = elicit::put(&call, params) => result,
            () = context.ct.cancelled() => ElicitResult::new(ElicitationAction::Cancel),
        })
    }

    /// A question that the library cannot read comes here.
    async fn on_custom_request(
        &self,
        request: CustomRequest,
        _: RequestContext<RoleClient>,
    ) -> Result<CustomResult, ErrorData> {
        if request.method == "elicitation/create" {
            Ok(CustomResult::new(json!({"action": "decline"})))
        } else {
            Err(ErrorData::new(ErrorCode::METHOD_NOT_FOUND, "not offered here", None))
        }
    }
}
