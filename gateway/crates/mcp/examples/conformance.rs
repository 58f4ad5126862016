//! The client that the MCP conformance suite judges: our own bridges, driven as a run drives them. The suite gives
//! the server's address as the last argument; the tools it offers are called once, and questions are answered with
//! what the form shows.
#![expect(clippy::print_stderr, reason = "the suite shows what its client says")]

use std::process::ExitCode;
use std::time::Duration;

use adjutant_core::question::{Answer, CallDoor, CallEvent, Question};
use adjutant_core::scope::{Origin, ProfileName, Role, Scope, UserId};
use adjutant_core::tool::{ToolRequest, ToolSource, ToolSpec};
use adjutant_mcp::config::parse;
use adjutant_mcp::options::Options;
use adjutant_mcp::pool::Bridges;
use futures::StreamExt;
use futures::channel::mpsc::Receiver;
use serde_json::{Map, Value, json};

#[tokio::main]
async fn main() -> ExitCode {
    match probe().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(reason) => {
            eprintln!("{reason}");
            ExitCode::FAILURE
        }
    }
}

async fn probe() -> Result<(), String> {
    let url = std::env::args().next_back().ok_or("give the address of the server")?;
    // The suite's first scenario answers anything to any question, so that only `initialize` tells what it speaks.
    let servers = json!({"peer": {"url": url, "lifecycle": "initialize"}});
    let servers = parse(&servers.to_string(), &|_| None).map_err(|faults| format!("{faults:?}"))?;
    let bridges = Bridges::new(servers, None, Options { asks: true, ..Options::default() });
    let user = UserId::parse("probe").map_err(|error| error.to_string())?;
    let profile = ProfileName::parse("personal").map_err(|error| error.to_string())?;
    let scope = Scope::new(user, profile, Role::Personal, Origin::Internal);
    let catalogue = bridges.list(&scope).await;
    if let Some(trouble) = catalogue.troubles.first() {
        return Err(trouble.reason.clone());
    }
    for tool in &catalogue.tools {
        call(&bridges, &scope, tool).await?;
    }
    bridges.shutdown().await;
    Ok(())
}

async fn call(bridges: &Bridges, scope: &Scope, tool: &ToolSpec) -> Result<(), String> {
    let (door, heard) = CallDoor::open();
    let request = ToolRequest {
        server: tool.server.clone(),
        tool: tool.tool.clone(),
        arguments: arguments(&tool.input_schema),
        timeout: Duration::from_secs(20),
        door,
    };
    let (reply, ()) = futures::future::join(bridges.call(scope, request), person(heard)).await;
    let reply = reply.map_err(|error| error.to_string())?;
    eprintln!("{}: {}", tool.name, reply.content.as_str());
    Ok(())
}

/// A number where one is wanted, and a word elsewhere.
fn arguments(schema: &Value) -> Value {
    let value = |property: &Value| match property["type"].as_str() {
        Some("number" | "integer") => json!(2),
        Some("boolean") => json!(true),
        _ => json!("word"),
    };
    let properties = schema["properties"].as_object().into_iter().flatten();
    Value::Object(properties.map(|(name, property)| (name.clone(), value(property))).collect())
}

async fn person(mut heard: Receiver<CallEvent>) {
    while let Some(event) = heard.next().await {
        if let CallEvent::Asks(question, answer) = event {
            let _ = answer.send(Answer::Accept(shown(&question)));
        }
    }
}

/// The form as it is shown at first.
fn shown(question: &Question) -> Map<String, Value> {
    let fields = question.fields.iter();
    fields.filter_map(|field| Some((field.name.clone(), field.default.clone()?))).collect()
}
