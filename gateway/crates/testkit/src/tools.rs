//! An in-process [`ToolSource`] with scripted tools that counts every call it gets.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use adjutant_core::message::ForeignText;
use adjutant_core::question::CallDoor;
use adjutant_core::scope::Scope;
use adjutant_core::tool::{
    AddedBy, Hints, ToolCatalogue, ToolError, ToolReply, ToolRequest, ToolSource, ToolSpec, namespaced,
};
use futures::future::BoxFuture;
use serde_json::{Value, json};
use tokio::sync::Semaphore;

type Answer = dyn Fn(&Value) -> Result<ToolReply, ToolError> + Send + Sync;
type Conversation = dyn Fn(CallDoor) -> BoxFuture<'static, Result<ToolReply, ToolError>> + Send + Sync;

struct Tool {
    hints: Hints,
    hold: Option<Arc<Semaphore>>,
    answer: Box<Answer>,
    /// Instead of the answer: what it says and asks while it is under way.
    conversation: Option<Box<Conversation>>,
    added_by: AddedBy,
    description: String,
}

/// The tools of one scripted server named `fake`.
#[derive(Default)]
pub struct FakeTools {
    tools: HashMap<String, Tool>,
    calls: Mutex<Vec<(String, String, Value)>>,
}

impl FakeTools {
    pub fn new() -> Self {
        Self::default()
    }

    /// A tool that answers at once.
    #[must_use]
    pub fn tool(
        self,
        name: &str,
        hints: Hints,
        answer: impl Fn(&Value) -> Result<ToolReply, ToolError> + Send + Sync + 'static,
    ) -> Self {
        self.add(name, hints, None, Box::new(answer))
    }

    /// A tool that counts the call at once and answers `done` when the test gives a permit.
    #[must_use]
    pub fn held(self, name: &str, hints: Hints, hold: Arc<Semaphore>) -> Self {
        self.add(name, hints, Some(hold), Box::new(|_| Ok(reply("done"))))
    }

    fn add(mut self, name: &str, hints: Hints, hold: Option<Arc<Semaphore>>, answer: Box<Answer>) -> Self {
        let description = format!("the scripted tool {name}");
        let tool = Tool { hints, hold, answer, conversation: None, added_by: AddedBy::Operator, description };
        self.tools.insert(name.to_owned(), tool);
        self
    }

    /// A tool that speaks with whoever watches its call.
    #[must_use]
    pub fn talking<F>(mut self, name: &str, hints: Hints, talk: impl Fn(CallDoor) -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = Result<ToolReply, ToolError>> + Send + 'static,
    {
        self = self.add(name, hints, None, Box::new(|_| Ok(reply("done"))));
        if let Some(tool) = self.tools.get_mut(name) {
            tool.conversation = Some(Box::new(move |door| Box::pin(talk(door))));
        }
        self
    }

    /// The server of these tools was added by the user.
    #[must_use]
    pub fn added_by_user(mut self) -> Self {
        self.tools.values_mut().for_each(|tool| tool.added_by = AddedBy::User);
        self
    }

    /// A tool that describes itself otherwise.
    #[must_use]
    pub fn described(mut self, name: &str, description: &str) -> Self {
        if let Some(tool) = self.tools.get_mut(name) {
            description.clone_into(&mut tool.description);
        }
        self
    }

    /// Every call so far: user, tool, arguments.
    pub fn calls(&self) -> Vec<(String, String, Value)> {
        self.calls.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

pub fn reply(text: &str) -> ToolReply {
    ToolReply { content: ForeignText::new(text), is_error: false, truncated: false }
}

impl ToolSource for FakeTools {
    fn list<'a>(&'a self, _scope: &'a Scope) -> BoxFuture<'a, ToolCatalogue> {
        let mut tools: Vec<ToolSpec> = self
            .tools
            .iter()
            .map(|(name, tool)| ToolSpec {
                name: namespaced("fake", name),
                server: "fake".to_owned(),
                tool: name.clone(),
                description: tool.description.clone(),
                input_schema: json!({"type": "object"}),
                hints: tool.hints,
                added_by: tool.added_by,
            })
            .collect();
        tools.sort_by(|a, b| a.name.cmp(&b.name));
        Box::pin(std::future::ready(ToolCatalogue { tools, troubles: Vec::new() }))
    }

    fn call<'a>(&'a self, scope: &'a Scope, request: ToolRequest) -> BoxFuture<'a, Result<ToolReply, ToolError>> {
        Box::pin(async move {
            let Some(tool) = self.tools.get(&request.tool) else {
                return Err(ToolError::Unavailable("no such tool".to_owned()));
            };
            let entry = (scope.user.to_string(), request.tool.clone(), request.arguments.clone());
            self.calls.lock().unwrap_or_else(PoisonError::into_inner).push(entry);
            if let Some(hold) = &tool.hold
                && let Ok(permit) = hold.acquire().await
            {
                permit.forget();
            }
            if let Some(conversation) = &tool.conversation {
                return conversation(request.door).await;
            }
            (tool.answer)(&request.arguments)
        })
    }
}
