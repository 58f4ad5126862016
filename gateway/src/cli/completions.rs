//! `adjutant completions`: a script for a shell, made from the command line itself.

use clap::{Args, Command, ValueEnum};
use clap_complete::{Shell, generate};

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// For which shell
    shell: Known,
}

/// The shells that the tests run the scripts in.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum Known {
    Bash,
    Zsh,
    Fish,
}

pub(super) fn script(arguments: &Arguments, mut command: Command) -> String {
    let shell = match arguments.shell {
        Known::Bash => Shell::Bash,
        Known::Zsh => Shell::Zsh,
        Known::Fish => Shell::Fish,
    };
    let name = command.get_name().to_owned();
    let mut script = Vec::new();
    generate(shell, &mut command, name, &mut script);
    String::from_utf8_lossy(&script).trim_end().to_owned()
}
