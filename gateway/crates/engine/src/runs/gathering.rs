//! From what the model wrote to calls that can be planned: names resolved, arguments checked, risks
//! looked up. And from what people decided meanwhile to events of the machine.

use std::collections::HashSet;

use adjutant_core::ids::ToolCallId;
use adjutant_core::limits;
use adjutant_core::message::{Part, Role, ToolCallPart, is_deep, value_without_nul, without_nul};
use adjutant_core::model::ModelCall;
use adjutant_core::run::addresses::Named;
use adjutant_core::run::state::{CallFacts, CallTarget, Event as MachineEvent};
use adjutant_core::run::typed::Typed;
use adjutant_core::tool::Risk;
use adjutant_store::error::StoreError;
use adjutant_store::ledger::{CallState, LedgerRow, Target};
use adjutant_store::{approvals, runs};
use serde_json::{Value, json};

use super::commit::Batch;
use super::driver::Driver;
use super::rules::definition_of;

impl Driver {
    /// Plans the calls of an answer; a call beyond the limit was never made, as far as anyone knows.
    pub(super) fn gather(&mut self, calls: Vec<ModelCall>, parts: &mut Vec<Part>, batch: &mut Batch) -> Vec<CallFacts> {
        self.calls.clear();
        self.provider_ids.clear();
        self.definitions.clear();
        let named = self.named();
        let step = i32::try_from(self.state.steps).unwrap_or(i32::MAX);
        let mut seen = HashSet::new();
        let mut facts = Vec::new();
        for (position, call) in (0..).zip(calls.into_iter().take(limits::CALLS_PER_ANSWER)) {
            let id = ToolCallId::new();
            let name = without_nul(call.name);
            let provider_id = match without_nul(call.provider_id) {
                given if !given.is_empty() && seen.insert(given.clone()) => given,
                _ => id.as_uuid().simple().to_string(),
            };
            let (arguments, problem) = checked(call.arguments);
            let (target, fact) = match problem {
                Some(reason) => (Target::Nobody, CallTarget::Nothing { reason }),
                None => self.resolve(id, &name, &arguments, &named),
            };
            let (risk, repeatable) = match fact {
                CallTarget::Server { facts, repeatable } => (facts.risk, repeatable),
                CallTarget::Caller | CallTarget::Nothing { .. } => (Risk::Effects, false),
            };
            batch.planned.push(LedgerRow {
                id,
                run_id: self.context.lease.run,
                step,
                position,
                name: name.clone(),
                target,
                arguments: arguments.clone(),
                risk,
                repeatable,
                state: CallState::Planned,
                tries: 0,
                started_at: None,
                finished_at: None,
            });
            self.provider_ids.insert(id, provider_id.clone());
            parts.push(Part::ToolCall(ToolCallPart { id, provider_id, name, arguments }));
            facts.push(CallFacts { id, target: fact });
        }
        facts
    }

    fn resolve(&mut self, id: ToolCallId, name: &str, arguments: &Value, named: &Named) -> (Target, CallTarget) {
        if self.context.request.caller_tools.iter().any(|tool| tool.name == name) {
            return (Target::Caller, CallTarget::Caller);
        }
        let tools = self.catalogue.as_ref().map_or(&[][..], |catalogue| &catalogue.tools);
        let mut known = tools.iter().filter(|tool| tool.name == name);
        let (Some(spec), None) = (known.next(), known.next()) else {
            let reason = format!("there is no tool named {name}, or its server is not available now");
            return (Target::Nobody, CallTarget::Nothing { reason });
        };
        let target = Target::Server { server: spec.server.clone(), tool: spec.tool.clone() };
        let facts = self.rules.facts(spec, arguments, named);
        self.definitions.insert(id, definition_of(spec));
        (target, CallTarget::Server { facts, repeatable: spec.hints.repeatable() })
    }

    /// What the user said in this run, in their own words: not what came before it, nor a history that a caller brought.
    fn named(&self) -> Named {
        let run = self.context.lease.run;
        let own = self.tail.iter().position(|message| message.run_id == Some(run)).unwrap_or(self.tail.len());
        // A further answer to a message has no message of its own: it is asked by the one before it.
        let asked = |index: &usize| self.tail.get(*index).is_some_and(|message| message.role != Role::Assistant);
        let first = match Some(own).filter(asked) {
            Some(first) => first,
            None => match self.tail[..own].iter().rposition(|message| message.role == Role::User) {
                Some(first) => first,
                None => return Named::default(),
            },
        };
        let brought = self.tail[first].seq;
        let mut said = Vec::new();
        for message in &self.tail[first..] {
            if message.role == Role::User {
                said.push(Typed::of(&message.text()).own);
            } else if message.seq == brought {
                said.clear();
            }
        }
        Named::of(said.iter().map(String::as_str))
    }

    pub(super) async fn is_cancel_requested(&self) -> Result<bool, StoreError> {
        let run = self.context.lease.run;
        let owner = self.context.scope.owner();
        self.engine.store().scoped(&owner, async |tx| Ok(runs::load(tx, run).await?.cancel_requested)).await
    }

    /// What people decided since the machine last heard of it.
    pub(super) async fn told(&self) -> Result<Vec<MachineEvent>, StoreError> {
        let run = self.context.lease.run;
        let owner = self.context.scope.owner();
        let (cancelled, decided) = self
            .engine
            .store()
            .scoped(&owner, async |tx| {
                let cancelled = runs::load(tx, run).await?.cancel_requested;
                Ok((cancelled, approvals::of_run(tx, run).await?))
            })
            .await?;
        if cancelled {
            return Ok(vec![MachineEvent::CancelRequested]);
        }
        let asked = decided.into_iter().filter(|approval| self.state.asks(approval.tool_call_id));
        let events = asked.filter_map(|approval| {
            approval.decision.map(|decision| MachineEvent::Decided {
                call: approval.tool_call_id,
                allowed: decision.allows(),
                reason: approval.reason,
            })
        });
        Ok(events.collect())
    }
}

/// The arguments to keep, and why they cannot be used, if so.
fn checked(arguments: Result<Value, String>) -> (Value, Option<String>) {
    match arguments {
        Ok(Value::Object(fields)) => {
            let value = value_without_nul(Value::Object(fields));
            if is_deep(&value) {
                (json!({}), Some(format!("the arguments have more than {} levels", limits::JSON_DEPTH)))
            } else if value.to_string().len() > limits::TOOL_ARGUMENT_BYTES {
                (json!({}), Some(format!("the arguments are longer than {} bytes", limits::TOOL_ARGUMENT_BYTES)))
            } else {
                (value, None)
            }
        }
        Ok(_) | Err(_) => (json!({}), Some("the arguments are not a JSON object".to_owned())),
    }
}
