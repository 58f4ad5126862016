//! The arguments of `adjutant chat`, and how it begins and ends.

use std::io::{IsTerminal as _, stdin};
use std::path::PathBuf;
use std::process::ExitCode;

use adjutant_core::ids::ThreadId;
use clap::Args;
use secrecy::{ExposeSecret, SecretString};
use url::Url;

use super::connection::Server;
use super::input;
use super::screen::{Screen, Shows, Style};
use super::talk::Talk;
use crate::cli::ask;
use crate::config::client::Client;
use crate::config::environment::Environment;

/// Talk to the assistant. From a pipe, all of it is one message and only the answer is printed.
#[derive(Debug, Clone, Args)]
pub struct ChatArgs {
    /// The server; else ADJUTANT_URL.
    #[arg(long)]
    pub url: Option<Url>,
    /// A file whose first line is the key; else ADJUTANT_API_KEY. Never give a key as an argument.
    #[arg(long, value_name = "FILE")]
    pub key_file: Option<PathBuf>,
    /// The profile, for a key that is good for all.
    #[arg(long)]
    pub profile: Option<String>,
    /// Go on in this thread. Without it a terminal goes on in the newest one, a pipe begins one.
    #[arg(long, value_name = "ID", conflicts_with = "new")]
    pub thread: Option<ThreadId>,
    /// Begin a new thread.
    #[arg(long)]
    pub new: bool,
    /// Print the server's frames, one a line, instead of text.
    #[arg(long)]
    pub json: bool,
}

/// Talks until the person leaves, or until the one message of a pipe is answered.
pub async fn run(args: ChatArgs, environment: &Environment) -> ExitCode {
    let shows = if args.json { Shows::Frames } else { Shows::Answers };
    let style = if environment.get("NO_COLOR").is_some() { Style::PLAIN } else { Style::COLOUR };
    let mut screen = Screen::new(shows, style);
    let server = match server(&args, environment) {
        Ok(server) => server,
        Err(sentence) => {
            screen.fault(&sentence);
            return ExitCode::from(2);
        }
    };
    match Talk::begin(server, screen, &args).await {
        Ok(talk) => Box::pin(talk.run()).await,
        Err(code) => code,
    }
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
