//! The terminal client, as a process of its own, on a pipe and on a terminal.

use std::net::SocketAddr;
use std::process::{Output, Stdio};
use std::sync::Arc;

use adjutant_core::ids::ThreadId;
use adjutant_core::limits;
use adjutant_core::model::Usage;
use adjutant_store::events::{self, EventRow};
use adjutant_store::runs::{self, RunStatus};
use adjutant_store::threads::{self, Advance};
use adjutant_testkit::db::owner;
use adjutant_testkit::provider::{Piece, Reply, Turn};
use serde_json::json;
use tokio::io::{AsyncWriteExt, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio::process::Command;
use tokio::sync::{Notify, Semaphore};

use super::server::KEY;
use super::terminal::Terminal;
use super::ws_support::{House, PATIENCE};

pub(crate) fn chat(address: SocketAddr, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_adjutant"));
    command.arg("chat").args(arguments).env_clear().kill_on_drop(true);
    command
        .env("NO_COLOR", "1")
        .env("TERM", "xterm")
        .env("ADJUTANT_URL", format!("http://{address}"))
        .env("ADJUTANT_API_KEY", KEY);
    command
}

/// What `echo TEXT | adjutant chat` comes to.
async fn piped(address: SocketAddr, arguments: &[&str], text: &str) -> Output {
    let mut command = chat(address, arguments);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    child.stdin.take().unwrap().write_all(text.as_bytes()).await.unwrap();
    tokio::time::timeout(PATIENCE, child.wait_with_output()).await.expect("it ends").unwrap()
}

fn told(output: &Output) -> (Option<i32>, &str, &str) {
    let text = |bytes| std::str::from_utf8(bytes).unwrap();
    (output.status.code(), text(&output.stdout), text(&output.stderr))
}

fn script(turn: &Turn) -> Reply {
    let text = |text: &str| Piece::Text(text.to_owned());
    match (turn.last_user().trim(), turn.round()) {
        ("fail", _) => Reply::Status(401, "{}".to_owned()),
        ("effect", 0) => Reply::call("effects__look", &json!({"key": "before"})),
        ("effect", 1) => Reply::call("effects__effect", &json!({"key": "a\u{1b}[2J\u{202e}b"})),
        ("effect", _) => Reply::text("It is done."),
        _ => Reply::Stream(vec![text("Grüß "), text("\u{1b}[31mdich 🐈"), text(", du.")]),
    }
}

#[tokio::test]
async fn a_pipe_gets_the_answer_and_nothing_else() {
    let house = House::new(script).await;
    let address = house.server.address;
    assert_eq!(told(&piped(address, &[], "hello\n").await), (Some(0), "Grüß [31mdich 🐈, du.\n", ""));
    let output = piped(address, &["--json"], "hello\n").await;
    let (code, frames, _) = told(&output);
    let frames: Vec<serde_json::Value> = frames.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!((code, &frames.last().unwrap()["event"]["type"]), (Some(0), &json!("RUN_FINISHED")));
    let thread = frames.last().unwrap()["threadId"].as_str().unwrap();
    assert_eq!(told(&piped(address, &["--thread", thread], "again").await).1, "Grüß [31mdich 🐈, du.\n");
}

#[tokio::test]
async fn what_goes_wrong_is_a_sentence_and_an_exit_code() {
    let house = House::new(script).await;
    let address = house.server.address;
    let nowhere = "127.0.0.1:9".parse().unwrap();
    let unknown = ["--thread", "0196f0aa-0000-7000-8000-000000000001"];
    for (output, code, sentence) in [
        (piped(address, &[], "fail").await, 1, "(model_unauthorized)"),
        (piped(address, &[], " \n").await, 1, "no message on standard input"),
        (piped(address, &unknown, "hello").await, 1, "the server refuses (404)"),
        (piped(address, &["--key-file", "/dev/null"], "hello").await, 2, "the key is empty"),
        (piped(address, &["--url", "ftp://x"], "hello").await, 2, "--url must be"),
        (piped(nowhere, &[], "hello").await, 1, "does `adjutant serve` run there?"),
        (piped(address, &[], "effect").await, 1, "effects__effect waits for consent"),
    ] {
        let (found, stdout, stderr) = told(&output);
        assert_eq!((found, stdout, stderr.lines().count()), (Some(code), "", 1), "{stderr}");
        assert!(stderr.contains(sentence), "{stderr}");
    }
}

/// Passes connections on until it is told to cut them.
pub(crate) async fn proxy(target: SocketAddr) -> (SocketAddr, Arc<Notify>) {
    let cut = Arc::new(Notify::new());
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let cutting = Arc::clone(&cut);
    tokio::spawn(async move {
        while let Ok((mut near, _)) = listener.accept().await {
            let cutting = Arc::clone(&cutting);
            tokio::spawn(async move {
                let mut far = TcpStream::connect(target).await.unwrap();
                tokio::select! {
                    _ = copy_bidirectional(&mut near, &mut far) => {}
                    () = cutting.notified() => {}
                }
            });
        }
    });
    (address, cut)
}

#[tokio::test]
async fn a_lost_connection_is_healed_and_the_answer_is_printed_once() {
    let hold = Arc::new(Semaphore::new(0));
    let gate = Arc::clone(&hold);
    let house = House::new(move |_| {
        let (before, after) = (Piece::Text("before 🐈 ".to_owned()), Piece::Text("after".to_owned()));
        Reply::Stream(vec![before, Piece::Hold(Arc::clone(&gate)), after])
    })
    .await;
    let (address, cut) = proxy(house.server.address).await;
    let mut terminal = Terminal::open(&mut chat(address, &["--new"]));
    terminal.until("> ").await;
    terminal.write("hello\n");
    terminal.until("before 🐈 ").await;
    cut.notify_waiters();
    hold.add_permits(1);
    terminal.until("after").await;
    terminal.until("> ").await;
    assert_eq!(terminal.shown().matches("before 🐈 ").count(), 1, "{}", terminal.shown());
    assert!(terminal.shown().contains("before 🐈 after"), "{}", terminal.shown());
    // A cut that is noticed only when something is sent loses nothing either.
    cut.notify_waiters();
    terminal.write("hello\n");
    hold.add_permits(1);
    terminal.until("before 🐈 after").await;
    terminal.write("/quit\n");
    assert_eq!(terminal.end().await, Some(0));
}

#[tokio::test]
async fn a_person_is_asked_for_consent_with_the_exact_arguments() {
    let house = House::new(script).await;
    let mut terminal = Terminal::open(&mut chat(house.server.address, &[]));
    terminal.until("> ").await;
    terminal.write("effect\n");
    terminal.until("Run effects__effect of effects? (it may change something)").await;
    terminal.until(r#"  key: "a\u001b[2J\u{202e}b""#).await;
    terminal.until("y = once, a = always, n = no: ").await;
    terminal.write("what?\n");
    terminal.until("y = once, a = always, n = no: ").await;
    terminal.write("y\n");
    terminal.until("It is done.").await;
    terminal.until("> ").await;
    assert_eq!(house.tools.effects().len(), 1);
    assert!(terminal.shown().contains("← effects__look succeeded: did before"), "{}", terminal.shown());
    // Nothing but what the client says itself: that pastes are marked, and that a row is taken away.
    let ours = ["\u{1b}[?2004h", "\u{1b}[K"];
    let shown = ours.iter().fold(terminal.shown(), |shown, ours| shown.replace(ours, ""));
    assert!(!shown.contains('\u{1b}'), "{shown:?}");
    terminal.write("effect\n");
    terminal.until("n = no: ").await;
    terminal.write("n\n");
    terminal.until("It is done.").await;
    assert_eq!(house.tools.effects().values().sum::<u32>(), 1);
    terminal.until("> ").await;
    terminal.interrupt();
    assert_eq!(terminal.end().await, Some(130));
}

#[tokio::test]
async fn ctrl_c_cancels_the_run_and_the_next_one_leaves() {
    let hold = Arc::new(Semaphore::new(0));
    let house =
        House::new(move |_| Reply::Stream(vec![Piece::Text("so far".to_owned()), Piece::Hold(Arc::clone(&hold))]))
            .await;
    let mut terminal = Terminal::open(&mut chat(house.server.address, &["--new"]));
    terminal.until("> ").await;
    terminal.write("hello\n");
    terminal.until("so far").await;
    terminal.interrupt();
    terminal.until("(cancelled)").await;
    terminal.until("> ").await;
    terminal.interrupt();
    assert_eq!(terminal.end().await, Some(130));
    // A terminal goes on in the newest thread, and shows what was said in it.
    let mut terminal = Terminal::open(&mut chat(house.server.address, &[]));
    terminal.until("> hello").await;
    terminal.until("so far").await;
    terminal.until("(cut off)").await;
}

/// Leaves a run of the owner as two crashes would.
async fn quarantine(house: &House, thread: ThreadId) {
    let owner = owner("owner", "personal");
    let event = house.server.db.store.scoped(&owner, async |tx| {
        threads::lock(tx, thread).await?;
        let run = events::after(tx, thread, 0, 1).await?[0].run_id.unwrap();
        runs::move_to(tx, run, RunStatus::Quarantined, 0, limits::LEASE).await?;
        let advance = Advance { events: 1, head_id: None, usage: Usage::default() };
        let seq = threads::advance(tx, thread, advance).await?;
        let payload = json!({"kind": "run_state", "state": "quarantined", "reason": "it crashed", "parentId": null});
        let row = EventRow { seq, run_id: Some(run), kind: "run_state".to_owned(), payload, message_id: None };
        events::append(tx, thread, &[row]).await
    });
    event.await.unwrap();
}

#[tokio::test]
async fn a_quarantined_run_is_tried_again_or_discarded_as_the_person_says() {
    let house = House::new(script).await;
    let address = house.server.address;
    for (letter, end) in [("r", "n = no: "), ("d", "the run was discarded (run_discarded)")] {
        let waits = piped(address, &[], "effect").await;
        let thread: ThreadId = told(&waits).2.trim().rsplit(' ').next().unwrap().parse().unwrap();
        quarantine(&house, thread).await;
        let mut terminal = Terminal::open(&mut chat(address, &["--thread", &thread.to_string()]));
        terminal.until("it crashed").await;
        terminal.until("r = try again, d = discard, Enter = leave it: ").await;
        terminal.write(&format!("{letter}\n"));
        terminal.until(end).await;
        if letter == "r" {
            terminal.write("y\n");
            terminal.until("It is done.").await;
        }
        terminal.until("> ").await;
    }
}

#[tokio::test]
async fn a_message_on_the_command_line_is_answered_alone_and_threads_are_listed() {
    let house = House::new(script).await;
    let address = house.server.address;
    let output = chat(address, &["--thread", "last", "hello"]).stdin(Stdio::null()).output().await.unwrap();
    assert_eq!(told(&output), (Some(1), "", "there is no thread yet\n"));
    let output = chat(address, &["hello"]).stdin(Stdio::null()).output().await.unwrap();
    assert_eq!(told(&output), (Some(0), "Grüß [31mdich 🐈, du.\n", ""));
    let output = chat(address, &["--thread", "last", "again"]).stdin(Stdio::null()).output().await.unwrap();
    assert_eq!(told(&output).0, Some(0));
    let listed = chat(address, &["--list", "--json"]).stdin(Stdio::null()).output().await.unwrap();
    let threads: Vec<serde_json::Value> = serde_json::from_slice(&listed.stdout).unwrap();
    assert_eq!(threads.len(), 1, "{threads:?}");
    let listed = chat(address, &["--list"]).stdin(Stdio::null()).output().await.unwrap();
    let (code, table, talk) = told(&listed);
    assert_eq!((code, table.lines().count(), talk), (Some(0), 2, ""), "{table}");
    assert!(table.contains(threads[0]["id"].as_str().unwrap()), "{table}");
    for wrong in [&["--list", "hello"][..], &["--thread", "nonsense"], &["--file", "/nowhere/a", "hello"]] {
        let output = chat(address, wrong).stdin(Stdio::null()).output().await.unwrap();
        assert_eq!((told(&output).0, told(&output).1), (Some(2), ""), "{wrong:?}");
    }
}

#[tokio::test]
async fn a_person_goes_from_thread_to_thread_and_a_mistyped_order_is_not_sent() {
    let house = House::new(|turn| Reply::text(&format!("You said: {}", turn.last_user()))).await;
    let mut terminal = Terminal::open(&mut chat(house.server.address, &[]));
    terminal.until("> ").await;
    terminal.write("first\n");
    terminal.until("You said: first").await;
    terminal.until("> ").await;
    terminal.write("/new\n");
    terminal.until("a new thread begins").await;
    terminal.write("//etc is a folder\n");
    terminal.until("You said: /etc is a folder").await;
    terminal.until("> ").await;
    terminal.write("/quite\n");
    terminal.until("there is no /quite; /help lists what there is").await;
    terminal.write("/threads\n");
    terminal.until(" 1  ").await;
    terminal.until("(this one)").await;
    terminal.until(" 2  ").await;
    terminal.write("/open 9\n");
    terminal.until("there is no such number").await;
    terminal.write("/open 0196f0aa-0000-7000-8000-000000000001\n");
    terminal.until("the server refuses (404)").await;
    terminal.write("/open 2\n");
    terminal.until("> first").await;
    terminal.until("You said: first").await;
    terminal.until("> ").await;
    terminal.write("second\n");
    terminal.until("You said: second").await;
    let asked = house.provider.turns();
    assert_eq!(asked.len(), 3);
    let last = asked.last().unwrap().messages().iter().filter(|message| message["role"] == "user").count();
    assert_eq!(last, 2, "the message went into the first thread");
    terminal.write("/quit\n");
    assert_eq!(terminal.end().await, Some(0));
}

#[tokio::test]
async fn a_person_renames_a_thread_edits_a_message_and_has_it_answered_again() {
    let house = House::new(|turn| Reply::text(&format!("You said: {}.", turn.last_user().trim()))).await;
    let mut terminal = Terminal::open(&mut chat(house.server.address, &[]));
    terminal.until("> ").await;
    terminal.write("/retry\n");
    terminal.until("there is no message in this thread yet").await;
    terminal.write("one\n");
    terminal.until("You said: one.").await;
    terminal.until("> ").await;
    terminal.write("/retry\n");
    terminal.until("You said: one.").await;
    terminal.until("> ").await;
    terminal.write("/edit two\n");
    terminal.until("You said: two.").await;
    terminal.until("> ").await;
    terminal.write("/rename Numbers\n");
    terminal.until("this thread is called Numbers").await;
    terminal.write("/threads\n");
    terminal.until("Numbers (this one)").await;
    let turns = house.provider.turns();
    let users = |turn: &Turn| turn.messages().iter().filter(|message| message["role"] == "user").count();
    assert_eq!(turns.iter().map(users).collect::<Vec<_>>(), [1, 1, 1], "an edit stands beside the old message");
    terminal.write("/quit\n");
    assert_eq!(terminal.end().await, Some(0));
}

#[tokio::test]
async fn files_go_with_a_message_from_the_command_line_a_pipe_and_a_terminal_and_messages_are_found() {
    let house = House::new(|turn| Reply::text(&format!("I read: {}.", turn.last_user().replace('\n', " ")))).await;
    let address = house.server.address;
    let folder = super::binary::Home::new();
    let path = folder.path().join("trip.txt");
    std::fs::write(&path, "The train leaves from platform four.").unwrap();
    let path = path.to_str().unwrap();
    let output = chat(address, &["--file", path, "which platform?"]).stdin(Stdio::null()).output().await.unwrap();
    let (code, said, talk) = told(&output);
    assert_eq!((code, talk), (Some(0), ""), "{said}");
    assert!(said.contains("platform four") && said.contains("which platform?"), "{said}");
    let output = piped(address, &["summarise this"], "piped words about a lighthouse").await;
    let (code, said, talk) = told(&output);
    assert_eq!((code, talk), (Some(0), ""), "{said}");
    assert!(said.contains("lighthouse") && said.contains("summarise this"), "{said}");

    let mut terminal = Terminal::open(&mut chat(address, &["--new"]));
    terminal.until("> ").await;
    terminal.write("/file /nowhere/trip.txt\n");
    terminal.until("cannot be read").await;
    terminal.write(&format!("/file {path}\n"));
    terminal.until("goes with the next message: trip.txt").await;
    terminal.write("where from, by the quay?\n");
    terminal.until("platform four").await;
    terminal.until("> ").await;
    terminal.write("/search quay\n");
    terminal.until("quay").await;
    terminal.until("/open N goes on in the thread").await;
    terminal.write("/search zeppelin\n");
    terminal.until("nothing was found").await;
    terminal.write("/quit\n");
    assert_eq!(terminal.end().await, Some(0));
}
