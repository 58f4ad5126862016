//! The terminal client as a person sees it: real forms and progress of a server that others wrote, orders while an answer
//! is being written, and a screen that stays in order whatever is typed, pasted or lost.

use std::sync::Arc;

use adjutant_testkit::provider::{Piece, Provider, Reply, Turn};
use rustix::process::Signal;
use serde_json::json;
use tokio::sync::Semaphore;

use super::peers::peer;
use super::server::TestServer;
use super::terminal::Terminal;
use super::ws_chat::{chat, proxy};
use super::ws_support::{Folder, House};

/// server-everything beside a scripted model.
async fn everything(script: impl Fn(&Turn) -> Reply + Send + Sync + 'static) -> (TestServer, Provider) {
    let (provider, folder) = (Provider::start(script).await, Folder::new());
    let command = peer("bin/mcp-server-everything");
    let servers = json!({"mcpServers": {"everything": {"command": command, "args": ["stdio"]}}});
    std::fs::write(folder.mcp(), servers.to_string()).unwrap();
    let (base_url, file) = (provider.base_url(), folder.mcp());
    let settings = [
        ("ADJUTANT_MCP_CONFIG", file.as_str()),
        ("LLM_PROVIDER", "openai"),
        ("LLM_MODEL", "scripted"),
        ("OPENAI_BASE_URL", &base_url),
    ];
    (Box::pin(TestServer::start_with(&settings)).await, provider)
}

fn text(text: &str) -> Piece {
    Piece::Text(text.to_owned())
}

#[tokio::test]
async fn a_form_of_a_real_server_is_filled_in_field_by_field() {
    let (server, provider) = everything(|turn| match turn.round() {
        0 => Reply::call("everything__trigger-elicitation-request", &json!({})),
        _ => Reply::text("Thank you."),
    })
    .await;
    let mut terminal = Terminal::open(&mut chat(server.address, &[]));
    terminal.until("> ").await;
    terminal.write("ask me\n");
    terminal.until("a tool asks something").await;
    terminal.until("everything asks, while it runs everything__trigger-elicitation-request:").await;
    terminal.until("String (Your full, legal name): ").await;
    terminal.write("Anna Ü\n");
    terminal.until("Boolean (Agree to the terms and conditions) (y or n) [Enter leaves it out]:").await;
    terminal.write("perhaps\n");
    terminal.until("please answer y or n").await;
    terminal.write("y\n");
    terminal.until("[It was a dark and").await;
    terminal.write("\n");
    // The rest is left as it is: the server's own defaults go back to it.
    for field in
        ["String with email format", "String with uri format", "String with date format", "Integer", "Number in"]
    {
        terminal.until(field).await;
        terminal.write("\n");
    }
    terminal.until("  3  Joey").await;
    terminal.until("Untitled Single Select Enum").await;
    terminal.write("3\n");
    while !terminal.shown().contains("Thank you.") {
        terminal.until_any(&["Enum", "Thank you."]).await;
        if !terminal.shown().contains("Thank you.") {
            terminal.write("\n");
        }
    }
    let result = provider.turns().pop().unwrap().results().pop().unwrap();
    for value in ["Anna Ü", "Joey", "dark and stormy"] {
        assert!(result.contains(value), "{value} in {result}");
    }
    terminal.write("/quit\n");
    assert_eq!(terminal.end().await, Some(0));
    server.stop().await;
}

#[tokio::test]
async fn how_far_a_tool_of_a_real_server_has_come_is_shown() {
    let (server, _provider) = everything(|turn| match turn.round() {
        0 => {
            let arguments = json!({"duration": 0.4, "steps": 4});
            Reply::call("everything__trigger-long-running-operation", &arguments)
        }
        _ => Reply::text("All done."),
    })
    .await;
    let mut terminal = Terminal::open(&mut chat(server.address, &[]));
    terminal.until("> ").await;
    terminal.write("work\n");
    terminal.until("→ everything__trigger-long-running-operation duration: 0.4, steps: 4").await;
    terminal.until("… 100 %").await;
    // News of it take the place of what was shown.
    assert_eq!(terminal.seen().iter().filter(|row| row.starts_with('…')).count(), 1, "{:#?}", terminal.seen());
    terminal.until("← everything__trigger-long-running-operation succeeded: Long running").await;
    terminal.until("All done.").await;
    terminal.until("> ").await;
    terminal.write("\u{4}");
    assert_eq!(terminal.end().await, Some(0), "Ctrl-D");
    server.stop().await;
}

#[tokio::test]
async fn what_is_steered_while_an_answer_is_written_joins_it_and_the_answer_stays_whole() {
    let hold = Arc::new(Semaphore::new(0));
    let gate = Arc::clone(&hold);
    let house = House::new(move |turn| match turn.last_user().trim() {
        "be brief" => Reply::text("Brief it is."),
        _ => Reply::Stream(vec![
            text("This is a long "),
            Piece::Hold(Arc::clone(&gate)),
            text("story. "),
            Piece::Call {
                id: "c".to_owned(),
                name: "effects__look".to_owned(),
                arguments: "{\"key\": \"k\"}".to_owned(),
            },
        ]),
    })
    .await;
    let mut terminal = Terminal::open(&mut chat(house.server.address, &[]));
    terminal.until("> ").await;
    terminal.write("tell me\n");
    terminal.until("This is a long ").await;
    terminal.write("/steer be b");
    terminal.until_row("> /steer be b").await;
    assert_eq!(terminal.seen(), ["> tell me", "This is a long", "> /steer be b"]);
    terminal.write("rief\n");
    terminal.until("(queued").await;
    hold.add_permits(1);
    terminal.until("(taken into the answer that is being written)").await;
    terminal.until("Brief it is.").await;
    terminal.until("> ").await;
    assert_eq!(house.provider.turns().len(), 2, "one run");
    terminal.write("/quit\n");
    assert_eq!(terminal.end().await, Some(0));
}

#[tokio::test]
async fn an_answer_is_tried_again_with_another_model() {
    let house = House::new(|turn| Reply::text(&format!("I am {}.", turn.body["model"].as_str().unwrap()))).await;
    let mut terminal = Terminal::open(&mut chat(house.server.address, &[]));
    terminal.until("> ").await;
    terminal.write("who are you?\n");
    terminal.until("I am scripted.").await;
    terminal.until("> ").await;
    terminal.write("/retry openai/other\n");
    terminal.until("I am other.").await;
    terminal.until("> ").await;
    terminal.write("/retry nobody/else/there\n");
    terminal.until("> ").await;
    assert_eq!(house.provider.turns()[1].body["model"], "other");
}

#[tokio::test]
async fn rows_break_at_words_and_what_is_typed_meanwhile_stands_below() {
    let hold = Arc::new(Semaphore::new(0));
    let gate = Arc::clone(&hold);
    let house = House::new(move |_| {
        let held = || Piece::Hold(Arc::clone(&gate));
        Reply::Stream(vec![
            text("The train to Lis"),
            held(),
            text("bon leaves from platform four. 東京は夜の七時です。"),
            held(),
            text(" End."),
        ])
    })
    .await;
    let mut terminal = Terminal::sized(&mut chat(house.server.address, &[]), 30, 10);
    terminal.until("> ").await;
    terminal.write("when?\n");
    terminal.until_row("The train to Lis").await;
    terminal.write("and b");
    terminal.until_row("> and b").await;
    hold.add_permits(1);
    let rows = ["> when?", "The train to Lisbon leaves", "from platform four. 東京は夜", "の七時です。", "> and b"];
    terminal.until_seen(&rows).await;
    assert_eq!(terminal.place(), (4, 7), "where the person writes");
    terminal.write("ack?\u{1b}[D\u{7f}\u{7f}\u{7f}\u{7f}");
    terminal.until_row("> and ?").await;
    hold.add_permits(1);
    terminal.until_row("の七時です。 End.").await;
    terminal.until_row("> and ?").await;
    // The line that was begun is still there, and Ctrl-C takes it before it takes anything else.
    terminal.interrupt();
    terminal.until_row(">").await;
    terminal.write("\u{4}");
    assert_eq!(terminal.end().await, Some(0));
}

#[tokio::test]
async fn a_paste_is_one_message_and_lines_come_back() {
    let house = House::new(|turn| Reply::text(&format!("{} lines", turn.last_user().lines().count()))).await;
    let mut terminal = Terminal::open(&mut chat(house.server.address, &[]));
    terminal.until("> ").await;
    terminal.write("\u{1b}[200~one\r\ntwo\nthree\u{1b}[201~");
    terminal.until_row("> one⏎two⏎three").await;
    terminal.write("\n");
    terminal.until_row("3 lines").await;
    assert_eq!(terminal.seen()[..4], ["> one", "  two", "  three", "3 lines"]);
    terminal.until("> ").await;
    terminal.write("\u{1b}[A");
    terminal.until_row("> one⏎two⏎three").await;
    terminal.write("\u{15}/th\t");
    terminal.until_row("> /threads").await;
    terminal.write("\n");
    terminal.until("(this one)").await;
    assert_eq!(house.provider.turns().len(), 1);
    terminal.resize(40, 10);
    terminal.write("still here");
    terminal.until_row("> still here").await;
    terminal.signal(Signal::TERM);
    // The terminal is as it was.
    terminal.until("\u{1b}[?2004l").await;
    assert_eq!(terminal.end().await, Some(143));
}

#[tokio::test]
async fn a_line_that_was_begun_outlives_a_lost_connection() {
    let house = House::new(|turn| Reply::text(&format!("You said: {}.", turn.last_user().trim()))).await;
    let (address, cut) = proxy(house.server.address).await;
    let mut terminal = Terminal::open(&mut chat(address, &[]));
    terminal.until("> ").await;
    terminal.write("begun");
    terminal.until_row("> begun").await;
    cut.notify_waiters();
    terminal.write(" and ended\n");
    terminal.until_row("You said: begun and ended.").await;
    terminal.write("/quit\n");
    assert_eq!(terminal.end().await, Some(0));
    assert_eq!(house.provider.turns().len(), 1);
}

#[tokio::test]
async fn a_terminal_without_controls_edits_its_lines_itself() {
    let house = House::new(|_| Reply::text("hello")).await;
    let mut command = chat(house.server.address, &[]);
    let mut terminal = Terminal::open(command.env("TERM", "dumb"));
    terminal.until("> ").await;
    terminal.write("hi\n");
    terminal.until("hello").await;
    terminal.until("> ").await;
    terminal.write("\u{4}");
    assert_eq!(terminal.end().await, Some(0));
    assert!(!terminal.shown().contains('\u{1b}'), "{:?}", terminal.shown());
}
