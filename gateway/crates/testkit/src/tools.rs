//! An in-process [`ToolSource`] with scripted tools that counts every call it gets.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use adjutant_core::message::ForeignText;
use adjutant_core::scope::Scope;
use adjutant_core::tool::{
    AddedBy, Hints, ToolCatalogue, ToolError, ToolReply, ToolRequest, ToolSource, ToolSpec, namespaced,
};
use futures::future::BoxFuture;
use serde_json::{Value, json};
use tokio::sync::Semaphore;

type Answer = dyn Fn(&Value) -> Result<ToolReply, ToolError> + Send + Sync;

struct Tool {
    hints: Hints,
    hold: Option<Arc<Semaphore>>,
    answer: Box<Answer>,
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
        self.tools.insert(name.to_owned(), Tool { hints, hold, answer });
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
                description: format!("the scripted tool {name}"),
                input_schema: json!({"type": "object"}),
                hints: tool.hints,
                added_by: AddedBy::default(),
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
            (tool.answer)(&request.arguments)
        })
    }
}
