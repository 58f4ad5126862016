//! An in-process [`ToolSource`] of several servers, as a person has them: some of the operator, some of their own.
//! Each server counts what reaches it; letters that lie there are read by id.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use adjutant_core::message::ForeignText;
use adjutant_core::question::{Answer, Question};
use adjutant_core::scope::Scope;
use adjutant_core::tool::{
    AddedBy, Hints, ToolCatalogue, ToolError, ToolReply, ToolRequest, ToolSource, ToolSpec, namespaced,
};
use futures::future::BoxFuture;
use serde_json::{Value, json};

/// What a tool of the world does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Does {
    /// Gives the letter of the `id` in its arguments.
    Reads,
    /// Does something; that it was reached is all that matters.
    Acts,
    /// Shows the letter of the `id` to the person, as a form, and then gives it.
    Asks,
}

#[derive(Default)]
pub struct World {
    tools: Vec<(ToolSpec, Does)>,
    letters: Mutex<HashMap<String, String>>,
    calls: Mutex<Vec<(String, Value)>>,
}

impl World {
    pub fn new() -> Self {
        Self::default()
    }

    #[must_use]
    pub fn tool(mut self, server: &str, tool: &str, hints: Hints, does: Does) -> Self {
        let spec = ToolSpec {
            name: namespaced(server, tool),
            server: server.to_owned(),
            tool: tool.to_owned(),
            description: format!("{tool} of {server}"),
            input_schema: json!({"type": "object"}),
            hints,
            added_by: AddedBy::Operator,
        };
        self.tools.push((spec, does));
        self.tools.sort_by(|(one, _), (other, _)| one.name.cmp(&other.name));
        self
    }

    /// A tool of a server that the user added, which describes itself as it likes.
    #[must_use]
    pub fn tool_of_user(mut self, server: &str, tool: &str, description: &str) -> Self {
        self = self.tool(server, tool, Hints::default(), Does::Acts);
        if let Some((spec, _)) = self.tools.iter_mut().find(|(spec, _)| spec.server == server && spec.tool == tool) {
            description.clone_into(&mut spec.description);
            spec.added_by = AddedBy::User;
        }
        self
    }

    /// What somebody wrote and left where tools find it.
    pub fn leave(&self, id: &str, letter: &str) {
        self.letters.lock().unwrap_or_else(PoisonError::into_inner).insert(id.to_owned(), letter.to_owned());
    }

    /// Everything that reached a tool which acts, or which reads from afar: its name and arguments.
    pub fn effects(&self) -> Vec<(String, Value)> {
        self.calls.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl ToolSource for World {
    fn list<'a>(&'a self, _scope: &'a Scope) -> BoxFuture<'a, ToolCatalogue> {
        let tools = self.tools.iter().map(|(spec, _)| spec.clone()).collect();
        Box::pin(std::future::ready(ToolCatalogue { tools, troubles: Vec::new() }))
    }

    fn call<'a>(&'a self, _scope: &'a Scope, request: ToolRequest) -> BoxFuture<'a, Result<ToolReply, ToolError>> {
        Box::pin(async move {
            let called = |(spec, _): &&(ToolSpec, Does)| spec.server == request.server && spec.tool == request.tool;
            let Some((spec, does)) = self.tools.iter().find(called) else {
                return Err(ToolError::Unavailable("no such tool".to_owned()));
            };
            let id = request.arguments["id"].as_str().unwrap_or_default();
            let letter = self.letters.lock().unwrap_or_else(PoisonError::into_inner).get(id).cloned();
            let letter = letter.unwrap_or_else(|| "nothing".to_owned());
            if *does == Does::Acts || spec.hints.open_world != Some(false) {
                let effect = (spec.name.clone(), request.arguments.clone());
                self.calls.lock().unwrap_or_else(PoisonError::into_inner).push(effect);
            }
            if *does == Does::Asks {
                let question = Question { message: ForeignText::new(letter.clone()), fields: Vec::new() };
                let answer = request.door.ask(question).await;
                debug_assert!(answer != Answer::Accept(serde_json::Map::new()), "nobody accepts here");
            }
            let content = if *does == Does::Acts { "done".to_owned() } else { letter };
            Ok(ToolReply { content: ForeignText::new(content), is_error: false, truncated: false })
        })
    }
}
