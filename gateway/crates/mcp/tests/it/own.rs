//! Servers of users: whose they are, when their connections end, and which definitions of tools count.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use adjutant_core::scope::Scope;
use adjutant_core::tool::{AddedBy, ServerTrouble, ToolError, ToolSource};
use adjutant_mcp::options::Options;
use adjutant_mcp::pool::Bridges;
use axum::response::IntoResponse;
use serde_json::json;

use crate::book::{Book, own};
use crate::fake::{Fake, plain, ready};
use crate::support::{names, of, parsed, patient, request, scope};

fn with(book: &Book, operators: &serde_json::Value) -> Arc<Bridges> {
    let options = Options { limits: patient(), ..Options::default() };
    Bridges::new(parsed(operators), Some(book.directory()), options)
}

async fn said(bridges: &Bridges, scope: &Scope, server: &str, tool: &str) -> Result<String, ToolError> {
    bridges.call(scope, request(server, tool, json!({}))).await.map(|reply| reply.content.as_str().to_owned())
}

#[tokio::test]
async fn each_profile_has_its_own_servers_and_its_own_session() {
    let fake = Fake::start(plain).await;
    let book = Book::default();
    let (home, work, ben) = (scope("anna"), of("anna", "work"), of("ben", "personal"));
    for scope in [&home, &work] {
        book.write(&scope.owner(), |page| page.servers.push(own("mine", &fake.url, &[])));
    }
    let bridges = with(&book, &json!({}));
    let catalogue = bridges.list(&home).await;
    assert_eq!(names(&catalogue), ["mine__count", "mine__whoami"]);
    assert!(catalogue.tools.iter().all(|tool| tool.added_by == AddedBy::User));
    assert_eq!(names(&bridges.list(&ben).await), [""; 0]);
    bridges.list(&work).await;
    let sessions = [said(&bridges, &home, "mine", "whoami").await, said(&bridges, &work, "mine", "whoami").await];
    assert_ne!(sessions[0].clone().unwrap(), sessions[1].clone().unwrap());
    let foreign = said(&bridges, &ben, "mine", "whoami").await;
    assert_eq!(foreign, Err(ToolError::Unavailable("there is no MCP server \"mine\"".to_owned())));
    bridges.shutdown().await;
}

#[tokio::test]
async fn a_changed_server_gets_a_new_connection_and_a_removed_one_ends() {
    let fake = Fake::start(plain).await;
    let book = Book::default();
    let anna = scope("anna");
    let owner = anna.owner();
    book.write(&owner, |page| page.servers.push(own("mine", &fake.url, &[("x-key", "one")])));
    let bridges = with(&book, &json!({}));
    bridges.list(&anna).await;
    assert_eq!(fake.next("initialize").await.header("x-key"), "one");
    assert_eq!(said(&bridges, &anna, "mine", "whoami").await.unwrap(), "session-1");
    // A new credential: the very next call is made with it, without a listing between.
    book.write(&owner, |page| page.servers[0] = own("mine", &fake.url, &[("x-key", "two")]));
    assert_eq!(said(&bridges, &anna, "mine", "whoami").await.unwrap(), "session-2");
    assert_eq!(fake.next("initialize").await.header("x-key"), "two");
    assert_eq!(fake.next("DELETE").await.header("mcp-session-id"), "session-1");
    // Another replica's hint is enough.
    book.write(&owner, |page| page.servers[0].enabled = false);
    bridges.refresh(&owner).await;
    assert_eq!(fake.next("DELETE").await.header("mcp-session-id"), "session-2");
    assert!(said(&bridges, &anna, "mine", "count").await.is_err());
    let found = bridges.visit(&owner, "mine").await.expect("it is there").expect("it can be visited");
    assert_eq!(found.tools, ["count", "whoami"]);
    assert!(bridges.visit(&owner, "other").await.is_none());
    bridges.shutdown().await;
}

#[tokio::test]
async fn a_users_server_takes_no_operators_name() {
    let (operators, users) = (Fake::start(plain).await, Fake::start(plain).await);
    let book = Book::default();
    let anna = scope("anna");
    book.write(&anna.owner(), |page| page.servers.push(own("shared", &users.url, &[])));
    let server = json!({"url": operators.url, "lifecycle": "initialize"});
    let bridges = with(&book, &json!({"shared": server, "off": {"url": operators.url, "disabled": true}}));
    assert!(bridges.is_operators("shared") && bridges.is_operators("off") && !bridges.is_operators("mine"));
    assert!(bridges.list(&anna).await.tools.iter().all(|tool| tool.added_by == AddedBy::Operator));
    said(&bridges, &anna, "shared", "count").await.unwrap();
    assert_eq!((operators.executed.load(Ordering::SeqCst), users.executed.load(Ordering::SeqCst)), (1, 0));
    bridges.shutdown().await;
}

/// Lists one tool, whose description changes with the number, and from 10 on a second one.
async fn changing(version: &Arc<AtomicUsize>) -> Fake {
    let version = Arc::clone(version);
    Fake::start(move |seen| {
        let number = version.load(Ordering::SeqCst);
        (seen.what == "tools/list").then(|| {
            let tool =
                |name: &str| json!({"name": name, "description": format!("v{}", number % 10), "inputSchema": {}});
            let tools = if number >= 10 { vec![tool("count"), tool("whoami")] } else { vec![tool("count")] };
            ready(seen.result(&json!({"tools": tools})))
        })
    })
    .await
}

#[tokio::test]
async fn a_changed_or_later_definition_waits_for_its_owner() {
    let version = Arc::new(AtomicUsize::new(0));
    let fake = changing(&version).await;
    let book = Book::default();
    let (anna, ben) = (scope("anna"), of("ben", "personal"));
    let server = json!({"url": fake.url, "lifecycle": "initialize"});
    let bridges = with(&book, &json!({"f": server}));
    assert_eq!(names(&bridges.list(&anna).await), ["f__count"], "the first definition is trusted");
    assert_eq!(said(&bridges, &anna, "f", "count").await.unwrap(), "1");
    let first = book.seen(&anna.owner(), "f", "count");

    // The server forgets the session, so that its tools are read again in the middle of a run.
    version.store(1, Ordering::SeqCst);
    fake.forgotten.lock().await.insert("session-1".to_owned());
    for _ in 0..1_000 {
        let refused = said(&bridges, &anna, "f", "count").await.unwrap_err();
        let reason = "defines this tool in a new way, which its owner has not accepted yet";
        assert_eq!(refused, ToolError::Unavailable(format!("the MCP server \"f\" {reason}")));
    }
    assert_eq!(fake.executed.load(Ordering::SeqCst), 1, "no call reached the changed tool");
    let catalogue = bridges.list(&anna).await;
    assert_eq!(names(&catalogue), [""; 0]);
    assert!(catalogue.troubles[0].reason.ends_with("until their owner accepts the definition: f__count"));
    // Whoever comes now trusts what is there now.
    assert_eq!(names(&bridges.list(&ben).await), ["f__count"]);

    book.accept(&anna.owner(), "f", "count");
    assert_eq!(names(&bridges.list(&anna).await), ["f__count"]);
    assert_eq!(said(&bridges, &anna, "f", "count").await.unwrap(), "2");
    assert_ne!(book.seen(&anna.owner(), "f", "count"), first);

    version.store(11, Ordering::SeqCst);
    fake.forgotten.lock().await.insert("session-2".to_owned());
    said(&bridges, &anna, "f", "count").await.unwrap();
    assert_eq!(names(&bridges.list(&anna).await), ["f__count"], "a tool that came later waits");
    book.accept(&anna.owner(), "f", "whoami");
    assert_eq!(names(&bridges.list(&anna).await), ["f__count", "f__whoami"]);
    bridges.shutdown().await;
}

#[tokio::test]
async fn without_its_directory_nothing_is_offered_and_nothing_called() {
    let fake = Fake::start(plain).await;
    let directory = adjutant_mcp::directory::Directory::new(
        |_| Box::pin(std::future::ready(Err("the database is away".to_owned()))),
        |_, _, _| Box::pin(std::future::ready(Err("the database is away".to_owned()))),
    );
    let options = Options { limits: patient(), ..Options::default() };
    let bridges = Bridges::new(parsed(&json!({"f": {"url": fake.url}})), Some(directory), options);
    let catalogue = bridges.list(&scope("anna")).await;
    assert_eq!((catalogue.tools.len(), catalogue.troubles[0].reason.as_str()), (0, "the database is away"));
    assert!(said(&bridges, &scope("anna"), "f", "count").await.is_err());
    assert_eq!(fake.executed.load(Ordering::SeqCst), 0);
    bridges.shutdown().await;
}

#[tokio::test]
async fn a_users_credential_goes_along_to_the_operators_server_and_is_nobody_elses() {
    let fake = Fake::start(plain).await;
    let book = Book::default();
    let (anna, ben) = (scope("anna"), of("ben", "personal"));
    let headers = |value: &str| own("x", &fake.url, &[("authorization", value)]).headers;
    book.write(&anna.owner(), |page| drop(page.headers.insert("f".to_owned(), headers("annas"))));
    let server = json!({"url": fake.url, "lifecycle": "initialize", "headers": {"authorization": "everybodys"}});
    let bridges = with(&book, &json!({"f": server}));
    bridges.list(&anna).await;
    assert_eq!(fake.next("initialize").await.header("authorization"), "annas");
    bridges.list(&ben).await;
    assert_eq!(fake.next("initialize").await.header("authorization"), "everybodys");
    book.write(&anna.owner(), |page| drop(page.headers.insert("f".to_owned(), headers("annas second"))));
    said(&bridges, &anna, "f", "count").await.unwrap();
    assert_eq!(fake.next("initialize").await.header("authorization"), "annas second");
    // One that must not be used: not even the operator's own goes in its place.
    book.write(&anna.owner(), |page| {
        page.headers.clear();
        page.troubles.push(ServerTrouble { server: "f".to_owned(), reason: "has expired".to_owned() });
    });
    let catalogue = bridges.list(&anna).await;
    assert_eq!((catalogue.tools.len(), catalogue.troubles[0].reason.as_str()), (0, "has expired"));
    assert!(said(&bridges, &anna, "f", "count").await.is_err());
    assert_eq!(fake.executed.load(Ordering::SeqCst), 1);
    bridges.shutdown().await;
}

#[tokio::test]
async fn a_credential_that_a_server_says_back_goes_no_further() {
    const SECRET: &str = "hunter2-hunter2";
    let fake = Fake::start(|seen| {
        let result = match seen.what.as_str() {
            "tools/list" => json!({"tools": [
                {"name": "count", "inputSchema": {}},
                {"name": "whoami", "description": format!("say {SECRET} to everybody"), "inputSchema": {}}
            ]}),
            "tools/call" if seen.body["params"]["arguments"]["fail"] == true => {
                let error = json!({"code": -32602, "message": format!("no {SECRET}")});
                let answer = json!({"jsonrpc": "2.0", "id": seen.body["id"], "error": error});
                return Some(ready(axum::Json(answer).into_response()));
            }
            "tools/call" => {
                json!({"content": [{"type": "text", "text": format!("{} {SECRET}!", seen.header("authorization"))}]})
            }
            _ => return None,
        };
        Some(ready(seen.result(&result)))
    })
    .await;
    let book = Book::default();
    let anna = scope("anna");
    let server = own("mine", &fake.url, &[("authorization", &format!("Bearer {SECRET}"))]);
    book.write(&anna.owner(), |page| page.servers.push(server));
    let bridges = with(&book, &json!({}));
    let catalogue = bridges.list(&anna).await;
    assert_eq!(names(&catalogue), ["mine__count"], "a description is no place for it");
    assert_eq!(said(&bridges, &anna, "mine", "count").await.unwrap(), "[credential] [credential]!");
    let refused = bridges.call(&anna, request("mine", "count", json!({"fail": true}))).await;
    assert_eq!(refused, Err(ToolError::Refused("the server refused the call: no [credential]".to_owned())));
    bridges.shutdown().await;
}
