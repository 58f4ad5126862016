//! The arguments of `adjutant chat`, and how it begins and ends.

use std::io::{IsTerminal as _, stdin};
use std::path::PathBuf;
use std::process::ExitCode;

use adjutant_core::ids::ThreadId;
use clap::Args;
use secrecy::{ExposeSecret, SecretString};
use serde_json::Value;
use url::Url;

use super::connection::Server;
use super::deeds::{LISTED, day, title};
use super::files::Local;
use super::input;
use super::rest::Rest;
use super::screen::{Lines, Screen, Shows, Style};
use super::talk::Talk;
use crate::cli::plain::line;
use crate::cli::{ask, terminal};
use crate::config::client::Client;
use crate::config::environment::Environment;

/// Talk to the assistant. From a pipe, all of it is one message and only the answer is printed.
#[derive(Debug, Clone, Args)]
pub struct ChatArgs {
    /// One message to send; only the answer is printed. What is piped in goes with it as a document.
    #[arg(value_name = "MESSAGE")]
    pub message: Option<String>,
    /// The server; else ADJUTANT_URL.
    #[arg(long)]
    pub url: Option<Url>,
    /// A file whose first line is the key; else ADJUTANT_API_KEY. Never give a key as an argument.
    #[arg(long, value_name = "FILE")]
    pub key_file: Option<PathBuf>,
    /// The profile, for a key that is good for all.
    #[arg(long)]
    pub profile: Option<String>,
    /// Go on in this thread, or in the `last` one. Without it a terminal goes on in the newest one, a pipe begins one.
    #[arg(long, value_name = "ID", conflicts_with = "new", value_parser = Which::parse)]
    pub thread: Option<Which>,
    /// Send this file with the message; may be repeated.
    #[arg(long = "file", value_name = "PATH")]
    pub files: Vec<PathBuf>,
    /// List the newest threads and leave.
    #[arg(long, conflicts_with_all = ["message", "thread", "new", "files"])]
    pub list: bool,
    /// Begin a new thread.
    #[arg(long)]
    pub new: bool,
    /// Print the server's frames, one a line, instead of text; with --list a JSON array.
    #[arg(long)]
    pub json: bool,
}

/// A thread to go on in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Which {
    Thread(ThreadId),
    Last,
}

impl Which {
    fn parse(text: &str) -> Result<Self, String> {
        if text == "last" {
            return Ok(Self::Last);
        }
        text.parse().map(Self::Thread).map_err(|_| "it is neither the id of a thread nor `last`".to_owned())
    }
}

/// Talks until the person leaves, or until the one message of a pipe is answered.
pub async fn run(args: ChatArgs, environment: &Environment) -> ExitCode {
    let shows = if args.json { Shows::Frames } else { Shows::Answers };
    let style = if environment.get("NO_COLOR").is_some() { Style::PLAIN } else { Style::COLOUR };
    let controls = environment.get("TERM").is_some_and(|kind| kind != "dumb");
    let mut screen = Screen::new(shows, style, controls);
    let server = match server(&args, environment) {
        Ok(server) => server,
        Err(sentence) => {
            screen.fault(&sentence);
            return ExitCode::from(2);
        }
    };
    if args.list {
        return match list(&server, args.json).await {
            Ok(()) => ExitCode::SUCCESS,
            Err(sentence) => {
                screen.fault(&sentence);
                ExitCode::FAILURE
            }
        };
    }
    let given = match given(&args) {
        Ok(given) => given,
        Err(sentence) => {
            screen.fault(&sentence);
            return ExitCode::from(2);
        }
    };
    if args.message.is_some() {
        screen.lines = Lines::Piped;
    }
    match Box::pin(Talk::begin(server, screen, &args, given)).await {
        Ok(talk) => Box::pin(talk.run()).await,
        Err(code) => code,
    }
}

/// The files of the command line, and what is piped in beside a message of it.
fn given(args: &ChatArgs) -> Result<Vec<Local>, String> {
    let mut given = args.files.iter().map(|path| Local::read(path)).collect::<Result<Vec<_>, _>>()?;
    if args.message.is_some() && !stdin().is_terminal() {
        given.extend(Local::standard_input()?);
    }
    Ok(given)
}

async fn list(server: &Server, json: bool) -> Result<(), String> {
    let threads = Rest::new(server.clone())?.threads(LISTED).await?;
    if json {
        terminal::data(&format!("{:#}", Value::Array(threads)));
        return Ok(());
    }
    let rows: Vec<[String; 3]> = threads
        .iter()
        .map(|thread| [thread["id"].as_str().unwrap_or_default().to_owned(), day(thread), line(title(thread), 80)])
        .collect();
    terminal::data(&terminal::table(["ID", "LAST USED", "TITLE"], &rows));
    Ok(())
}

fn server(args: &ChatArgs, environment: &Environment) -> Result<Server, String> {
    let client = Client::read(environment).map_err(|faults| faults.to_string())?;
    let url = args.url.clone().unwrap_or(client.url);
    if !matches!(url.scheme(), "http" | "https") {
        return Err("--url must be http:// or https:// and a host".to_owned());
    }
    let key = match (&args.key_file, client.key) {
        (Some(file), _) => input::key_in(file)?,
        (None, Some(key)) => key,
        (None, None) => asked()?,
    };
    if key.expose_secret().is_empty() {
        return Err("the key is empty".to_owned());
    }
    Ok(Server { url, key, profile: args.profile.clone() })
}

fn asked() -> Result<SecretString, String> {
    let nowhere = "there is no key; set ADJUTANT_API_KEY or use --key-file";
    if !stdin().is_terminal() {
        return Err(nowhere.to_owned());
    }
    ask::secret("API key: ").map_err(|error| format!("the key could not be read from the terminal: {error}"))
}
