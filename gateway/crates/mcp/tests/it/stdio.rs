//! Child processes that hang, crash, flood and linger, and what becomes of them.

use std::time::Duration;

use adjutant_core::tool::{ToolError, ToolReply, ToolRequest, ToolSource};
use adjutant_mcp::options::Limits;
use adjutant_mcp::pool::{Bridges, ServerReport, ServerState};
use futures::FutureExt;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::json;
use tokio_util::task::TaskTracker;

use crate::support::{CEILING, Line, bridges, call, list, names, patient, request, scope, text};

fn lost(result: Result<ToolReply, ToolError>) -> String {
    match result {
        Err(ToolError::Lost(reason)) => reason,
        other => panic!("not lost: {other:?}"),
    }
}

/// A call that waits for a moment only.
async fn briefly(bridges: &Bridges, tool: &str) -> Result<ToolReply, ToolError> {
    let request = ToolRequest { timeout: Duration::from_millis(200), ..request("a", tool, json!({})) };
    bridges.call(&scope("anna"), request).await
}

#[tokio::test]
async fn tools_are_listed_and_called() {
    let line = Line::open().await;
    let bridges = bridges(&json!({"b": line.server("b", &["garbage"]), "a": line.server("a", &[])}), patient());
    let catalogue = list(&bridges, "anna").await;
    let of = |server: &str| {
        ["crash", "echo", "environment", "hang", "huge", "refuse"].map(|tool| format!("{server}__{tool}"))
    };
    assert_eq!(names(&catalogue), [of("a"), of("b")].concat());
    assert_eq!(catalogue.troubles, []);
    assert_eq!(text(&bridges, "anna", "a", "echo", json!({"message": "hello"})).await, "hello");
    let unknown = call(&bridges, "anna", "a", "nothing", json!({})).await;
    assert_eq!(unknown, Err(ToolError::Unavailable("the MCP server \"a\" has no such tool".to_owned())));
    let nowhere = call(&bridges, "anna", "c", "echo", json!({})).await;
    assert_eq!(nowhere, Err(ToolError::Unavailable("there is no MCP server \"c\"".to_owned())));
    let array = call(&bridges, "anna", "a", "echo", json!([])).await;
    assert_eq!(array, Err(ToolError::Refused("the arguments of a tool must be an object".to_owned())));
    bridges.shutdown().await;
}

#[tokio::test]
async fn errors_of_the_server_are_refusals_or_replies() {
    let line = Line::open().await;
    let bridges = bridges(&json!({"a": line.server("a", &[])}), patient());
    for code in [-32_601, -32_602] {
        let refused = call(&bridges, "anna", "a", "refuse", json!({"code": code})).await;
        assert_eq!(refused, Err(ToolError::Refused("the server refused the call: No thanks".to_owned())));
    }
    let reply = call(&bridges, "anna", "a", "refuse", json!({"code": -32_000})).await.expect("a reply");
    assert_eq!((reply.content.as_str(), reply.is_error), ("the server answered with error -32000: No thanks", true));
    bridges.shutdown().await;
}

#[tokio::test]
async fn a_child_inherits_only_what_is_given() {
    let line = Line::open().await;
    let mut server = line.server("a", &[]);
    server["env"] = json!({"KEY": "of this server"});
    let bridges = bridges(&json!({"a": server}), patient());
    let environment = text(&bridges, "anna", "a", "environment", json!({})).await;
    let environment: serde_json::Map<_, _> = serde_json::from_str(&environment).expect("an object");
    // The shell that starts Python adds PWD, Python itself LC_CTYPE where there is no locale.
    let added = ["LC_CTYPE", "PWD"];
    let names: Vec<_> = environment.keys().map(String::as_str).filter(|name| !added.contains(name)).collect();
    assert_eq!(names, ["HOME", "KEY", "PATH"]);
    bridges.shutdown().await;
}

#[tokio::test]
async fn each_user_has_a_process_of_their_own() {
    let line = Line::open().await;
    let bridges = bridges(&json!({"a": line.server("a", &[])}), patient());
    bridges.warm(&scope("anna")).await;
    let anna = line.next("a", "started").await.pid;
    assert_eq!(names(&list(&bridges, "anna").await).len(), 6);
    assert_eq!(names(&list(&bridges, "anna").await).len(), 6);
    assert_eq!(names(&list(&bridges, "ben").await).len(), 6);
    let ben = line.next("a", "started").await.pid;
    assert_ne!(anna, ben);
    bridges.shutdown().await;
    assert!(!line.rest().await.contains(&"a started".to_owned()));
}

#[tokio::test]
async fn a_server_that_hangs_at_connect_delays_nobody_else() {
    let line = Line::open().await;
    let limits = Limits { grace: Duration::from_secs(3), connect: Duration::from_mins(10), ..patient() };
    let bridges = bridges(&json!({"hung": line.server("hung", &["silent"]), "well": line.server("well", &[])}), limits);
    bridges.warm(&scope("anna")).await;
    line.next("hung", "server/discover").await;
    // A call to the healthy one does not wait for the other at all.
    assert_eq!(text(&bridges, "anna", "well", "echo", json!({"message": "hi"})).await, "hi");
    // One listing waits for the grace, none after it: the answer is there at the first poll.
    let first = list(&bridges, "anna").await;
    let second = bridges.list(&scope("anna")).now_or_never().expect("an answer at once");
    for catalogue in [first, second] {
        assert_eq!(names(&catalogue).len(), 6);
        let troubles: Vec<_> = catalogue.troubles.iter().map(|trouble| (&*trouble.server, &*trouble.reason)).collect();
        assert_eq!(troubles, [("hung", "it is still being connected")]);
    }
    let hung = call(&bridges, "anna", "hung", "echo", json!({})).await;
    assert_eq!(
        hung,
        Err(ToolError::Unavailable("the MCP server \"hung\" is not available: it is still being connected".to_owned()))
    );
    assert!(!line.rest().await.contains(&"hung ended".to_owned()), "its connection was pending all the time");
    bridges.shutdown().await;
}

#[tokio::test]
async fn a_server_that_hangs_at_list_or_ends_at_start_is_a_trouble() {
    let line = Line::open().await;
    let limits = Limits { list: Duration::from_secs(2), ..patient() };
    let servers = json!({
        "list": line.server("list", &["silent-list"]),
        "exits": line.server("exits", &["exits"]),
        "gone": {"command": "/no/such/command"},
        "well": line.server("well", &[])
    });
    let bridges = bridges(&servers, limits);
    let catalogue = list(&bridges, "anna").await;
    assert_eq!(names(&catalogue).len(), 6);
    let troubles: Vec<_> = catalogue.troubles.iter().map(|trouble| (&*trouble.server, &*trouble.reason)).collect();
    let expected = [
        ("exits", "its process ended (exit status: 5) while being greeted"),
        ("gone", "its command (or its working directory) was not found"),
        ("list", "it did not list its tools within 2s"),
    ];
    assert_eq!(troubles, expected);
    bridges.shutdown().await;
}

#[tokio::test]
async fn a_call_without_an_answer_is_lost_and_cancelled_at_the_server() {
    let line = Line::open().await;
    let bridges = bridges(&json!({"a": line.server("a", &[])}), patient());
    let reason = lost(briefly(&bridges, "hang").await);
    assert_eq!(reason, "the MCP server \"a\" gave no result: no answer within 200ms");
    let cancelled = line.next("a", "notifications/cancelled").await;
    // The server is asked whether it is well; it is, so that its process stays.
    line.next("a", "tools/list").await;
    assert_eq!(text(&bridges, "anna", "a", "echo", json!({"message": "well"})).await, "well");
    bridges.shutdown().await;
    assert!(cancelled.params["requestId"].is_number());
    assert!(!line.rest().await.contains(&"a started".to_owned()));
}

#[tokio::test]
async fn a_server_that_answers_nothing_any_more_is_started_again() {
    let line = Line::open().await;
    let limits = Limits { list: Duration::from_secs(2), ..patient() };
    let bridges = bridges(&json!({"a": line.server("a", &[])}), limits);
    assert_eq!(text(&bridges, "anna", "a", "echo", json!({"message": "hi"})).await, "hi");
    let first = line.next("a", "started").await.pid;
    kill_process(Pid::from_raw(first).expect("a pid"), Signal::STOP).expect("the process lives");
    lost(briefly(&bridges, "echo").await);
    let second = line.next("a", "started").await.pid;
    assert_ne!(first, second);
    assert_eq!(text(&bridges, "anna", "a", "echo", json!({"message": "again"})).await, "again");
    bridges.shutdown().await;
}

#[tokio::test]
async fn dropping_a_call_cancels_it_at_the_server() {
    let line = Line::open().await;
    let bridges = bridges(&json!({"a": line.server("a", &[])}), patient());
    let (tasks, scope) = (TaskTracker::new(), scope("anna"));
    let own = std::sync::Arc::clone(&bridges);
    let calling = tasks.spawn(async move { own.call(&scope, request("a", "hang", json!({}))).await });
    line.next("a", "tools/call").await;
    calling.abort();
    line.next("a", "notifications/cancelled").await;
    bridges.shutdown().await;
}

#[tokio::test]
async fn a_crash_in_a_call_loses_it_and_the_next_call_works() {
    let line = Line::open().await;
    let bridges = bridges(&json!({"a": line.server("a", &[])}), patient());
    for _ in 0..3 {
        let reason = lost(call(&bridges, "anna", "a", "crash", json!({})).await);
        assert_eq!(reason, "the MCP server \"a\" gave no result: the connection was lost before the answer came");
        assert_eq!(text(&bridges, "anna", "a", "echo", json!({"message": "back"})).await, "back");
    }
    bridges.shutdown().await;
}

#[tokio::test]
async fn a_killed_child_is_replaced() {
    let line = Line::open().await;
    let bridges = bridges(&json!({"a": line.server("a", &[])}), patient());
    assert_eq!(text(&bridges, "anna", "a", "echo", json!({"message": "1"})).await, "1");
    let first = line.next("a", "started").await.pid;
    kill_process(Pid::from_raw(first).expect("a pid"), Signal::KILL).expect("the process lives");
    let second = line.next("a", "started").await.pid;
    assert_ne!(first, second);
    assert_eq!(text(&bridges, "anna", "a", "echo", json!({"message": "2"})).await, "2");
    assert_eq!(names(&list(&bridges, "anna").await).len(), 6);
    bridges.shutdown().await;
}

#[tokio::test]
async fn megabytes_in_one_line_end_the_session_and_not_the_gateway() {
    let line = Line::open().await;
    let bridges = bridges(&json!({"a": line.server("a", &[])}), patient());
    lost(call(&bridges, "anna", "a", "huge", json!({"bytes": 50_000_000})).await);
    line.next("a", "ended").await;
    assert_eq!(text(&bridges, "anna", "a", "echo", json!({"message": "back"})).await, "back");
    bridges.shutdown().await;
}

#[tokio::test]
async fn an_endless_list_is_cut() {
    let line = Line::open().await;
    let bridges = bridges(&json!({"a": line.server("a", &["endless"])}), Limits { tools: 25, ..patient() });
    let catalogue = list(&bridges, "anna").await;
    assert_eq!(catalogue.tools.len(), 25);
    assert_eq!(catalogue.troubles[0].reason, "35 tools left out beyond the first 25");
    bridges.shutdown().await;
}

#[tokio::test]
async fn a_changed_list_is_read_again() {
    let line = Line::open().await;
    let bridges = bridges(&json!({"a": line.server("a", &[])}), patient());
    assert_eq!(names(&list(&bridges, "anna").await).len(), 6);
    let server = line.next("a", "started").await;
    line.next("a", "tools/list").await;
    server.command("changed").await;
    line.next("a", "tools/list").await;
    let new = async {
        while !names(&list(&bridges, "anna").await).contains(&"a__new") {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(CEILING, new).await.expect("the new tool");
    bridges.shutdown().await;
}

#[tokio::test]
async fn an_unused_session_is_closed_but_not_under_a_running_call() {
    let line = Line::open().await;
    let bridges =
        bridges(&json!({"a": line.server("a", &[])}), Limits { idle: Duration::from_millis(100), ..patient() });
    let tasks = TaskTracker::new();
    let own = std::sync::Arc::clone(&bridges);
    let calling = tasks.spawn(async move { text(&own, "anna", "a", "hang", json!({})).await });
    let anna = line.next("a", "tools/call").await;
    // Ben's session begins after Anna's call and ends by itself while it runs.
    assert_eq!(text(&bridges, "ben", "a", "echo", json!({"message": "hi"})).await, "hi");
    let ended = line.next("a", "ended").await;
    assert_ne!(ended.pid, anna.pid);
    anna.command("release").await;
    assert_eq!(calling.await.expect("no panic"), "released");
    assert_eq!(line.next("a", "ended").await.pid, anna.pid);
    // Both come back on the next use.
    assert_eq!(text(&bridges, "ben", "a", "echo", json!({"message": "again"})).await, "again");
    bridges.shutdown().await;
}

#[tokio::test]
async fn old_servers_that_dislike_the_stateless_greeting_are_greeted_their_way() {
    let line = Line::open().await;
    for fault in ["offended", "nonsense", "ignores-unknown"] {
        let limits = Limits { first_backoff: Duration::from_millis(1), connect: Duration::from_secs(3), ..patient() };
        let bridges = bridges(&json!({"a": line.server("a", &[fault])}), limits);
        if fault == "ignores-unknown" {
            // The probe uses up this attempt; the next one begins with `initialize`.
            let first = call(&bridges, "anna", "a", "echo", json!({})).await;
            assert!(matches!(first, Err(ToolError::Unavailable(_))), "{first:?}");
        }
        assert_eq!(text(&bridges, "anna", "a", "echo", json!({"message": fault})).await, fault);
        // What was learned holds for the next user: no probe, no wait.
        line.rest().await;
        assert_eq!(text(&bridges, "ben", "a", "echo", json!({"message": fault})).await, fault);
        let seen = line.rest().await;
        assert_eq!(seen[..2], ["a started", "a initialize"], "{fault}: {seen:?}");
        bridges.shutdown().await;
    }
}

#[tokio::test]
async fn the_announced_version_and_name_are_ours() {
    let line = Line::open().await;
    let bridges = bridges(&json!({"a": line.server("a", &[])}), patient());
    list(&bridges, "anna").await;
    let greeting = line.next("a", "initialize").await.params;
    assert_eq!(greeting["protocolVersion"], "2025-11-25");
    assert_eq!(greeting["clientInfo"]["name"], "adjutant");
    assert_eq!(greeting["capabilities"], json!({}));
    bridges.shutdown().await;
}

#[tokio::test]
async fn shutdown_asks_before_it_kills_and_ends_everything() {
    let line = Line::open().await;
    let servers = json!({"stubborn": line.server("stubborn", &["stubborn"]), "well": line.server("well", &[])});
    let bridges = bridges(&servers, patient());
    assert_eq!(list(&bridges, "anna").await.tools.len(), 12);
    bridges.shutdown().await;
    line.next("stubborn", "input closed").await;
    line.next("stubborn", "sigterm").await;
    let catalogue = list(&bridges, "anna").await;
    assert_eq!((catalogue.tools.len(), catalogue.troubles.len()), (0, 2));
    let stopping = call(&bridges, "anna", "well", "echo", json!({})).await;
    assert_eq!(
        stopping,
        Err(ToolError::Unavailable("the MCP server \"well\" is not available: the gateway is stopping".to_owned()))
    );
}

#[tokio::test]
async fn check_reports_every_server() {
    let line = Line::open().await;
    let servers = json!({
        "off": {"command": "x", "enabled": false},
        "hung": line.server("hung", &["silent"]),
        "well": line.server("well", &[])
    });
    let bridges = bridges(&servers, Limits { connect: Duration::from_secs(3), ..patient() });
    let reports = bridges.check(&scope("anna")).await;
    let reports: Vec<_> = reports.into_iter().map(|report| ServerReport { millis: 0, ..report }).collect();
    let report = |server: &str, state, tools, reason: Option<&str>| ServerReport {
        server: server.to_owned(),
        state,
        tools,
        millis: 0,
        reason: reason.map(str::to_owned),
    };
    let expected = [
        report("hung", ServerState::Failed, 0, Some("it did not answer the greeting within 3s")),
        report("well", ServerState::Connected, 6, None),
        report("off", ServerState::Disabled, 0, None),
    ];
    assert_eq!(reports, expected);
    bridges.shutdown().await;
}
