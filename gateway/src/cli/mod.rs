//! The command line: what is asked for, and the exit code. Data goes to stdout, talk to stderr; 2 means
//! wrong usage, 1 that it did not work. Secrets are never arguments.

mod ask;
pub mod chat;
mod completions;
mod credential;
mod doctor;
mod init;
mod key;
mod migrate;
mod plain;
mod serve;
mod terminal;
mod user;

use std::ffi::OsStr;
use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::{CommandFactory as _, Parser, Subcommand};

use crate::boot::embedded::LAUNCH;
use crate::config::environment::{Environment, Faults};
use crate::telemetry;

/// A personal assistant server. Settings come from the environment and adjutant.toml; `adjutant init` makes a first one.
#[derive(Debug, Parser)]
#[command(name = "adjutant", version, arg_required_else_help = false)]
struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serve (the default)
    Serve,
    /// Choose the model that answers, try it, and write the settings
    Init(init::command::Arguments),
    /// Make, list and revoke keys; works beside a running server, also when the last key was lost
    Key {
        #[command(subcommand)]
        command: key::Command,
    },
    /// Store, list and delete credentials; works beside a running server
    Credential {
        #[command(subcommand)]
        command: credential::Command,
    },
    /// Add and list people, and say what they may
    User {
        #[command(subcommand)]
        command: user::Command,
    },
    /// Bring the database up to date
    Migrate,
    /// Check settings, database, model and MCP servers
    Doctor(doctor::Arguments),
    /// Talk to the assistant from the terminal
    Chat(chat::command::ChatArgs),
    /// Print a script that completes commands and options
    Completions(completions::Arguments),
}

/// Runs the command of this process.
pub fn main() -> ExitCode {
    let mut arguments = std::env::args_os().skip(1);
    // Not a command for people: it becomes the database server, before anything else is started.
    if arguments.next().as_deref() == Some(OsStr::new(LAUNCH)) {
        let Err(error) = adjutant_postgres::launch_child(arguments);
        terminal::say(&error.to_string());
        return ExitCode::FAILURE;
    }
    let command = match Arguments::try_parse() {
        Ok(arguments) => arguments.command.unwrap_or(Command::Serve),
        Err(refusal) => {
            let _ = refusal.print();
            return exit_code(refusal.exit_code());
        }
    };
    // Needs no settings, so wrong ones do not stand in its way.
    if let Command::Completions(arguments) = &command {
        terminal::data(&completions::script(arguments, Arguments::command()));
        return ExitCode::SUCCESS;
    }
    let environment = Environment::of_process();
    telemetry::start(&crate::config::log(&environment));
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let result = runtime.context("the runtime cannot be started").and_then(|runtime| {
        let result = runtime.block_on(run(command, &environment));
        // What blocks for ever, such as a read from a terminal, must not hold up the end.
        runtime.shutdown_background();
        result
    });
    result.unwrap_or_else(|error| {
        terminal::say(&format!("adjutant: {}", sentence(&error)));
        if error.is::<Faults>() { exit_code(2) } else { ExitCode::FAILURE }
    })
}

async fn run(command: Command, environment: &Environment) -> Result<ExitCode> {
    match command {
        Command::Serve => Box::pin(serve::run(environment)).await,
        Command::Init(arguments) => init::command::run(&arguments, environment).await,
        Command::Key { command } => key::run(command, environment).await,
        Command::Credential { command } => credential::run(command, environment).await,
        Command::User { command } => user::run(command, environment).await,
        Command::Migrate => migrate::run(environment).await,
        Command::Doctor(arguments) => doctor::run(&arguments, environment).await,
        Command::Completions(_) => Ok(ExitCode::SUCCESS),
        Command::Chat(arguments) => Ok(Box::pin(chat::command::run(arguments, environment)).await),
    }
}

fn exit_code(code: i32) -> ExitCode {
    ExitCode::from(u8::try_from(code).unwrap_or(1))
}

/// An error with its causes, without what a cause only repeats.
fn sentence(error: &anyhow::Error) -> String {
    let mut text = String::new();
    for cause in error.chain() {
        let cause = cause.to_string();
        if !text.contains(&cause) {
            text = if text.is_empty() { cause } else { format!("{text}: {cause}") };
        }
    }
    text
}
