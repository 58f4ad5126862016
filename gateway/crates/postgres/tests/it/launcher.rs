//! This test binary as other programs: the hidden launcher, and a process that runs a server. A package
//! without a subcommand of its own, such as the test kit, starts servers in the same way. Both pass when
//! nobody gives them arguments.

use std::ffi::OsString;
use std::io::Read;

use adjutant_postgres::{Launcher, Options, Server, StopMode, launch_child};

/// Arguments that make this test binary run only the test `name`, with what follows for itself.
pub(crate) fn args_of(name: &str) -> Vec<OsString> {
    [name, "--exact", "--nocapture", "--"].map(OsString::from).to_vec()
}

pub(crate) fn this_binary() -> Launcher {
    Launcher { program: std::env::current_exe().unwrap(), args: args_of("launcher::launch") }
}

#[test]
fn launch() {
    if let Some(args) = given() {
        let Err(error) = launch_child(args);
        panic!("{error}");
    }
}

/// `DATA_DIR CACHE_DIR`: runs a server until the input ends or the process is killed.
#[test]
fn serve() {
    let Some(args) = given() else { return };
    let server = Server::start(&Options {
        data_dir: args[0].clone().into(),
        cache_dir: args[1].clone().into(),
        install: None,
        settings: Vec::new(),
        launcher: this_binary(),
        durable: false,
    })
    .unwrap();
    std::io::stdin().read_to_end(&mut Vec::new()).unwrap();
    server.stop(StopMode::Fast).unwrap();
}

fn given() -> Option<Vec<OsString>> {
    let args: Vec<_> = std::env::args_os().skip_while(|arg| arg != "--").skip(1).collect();
    (!args.is_empty()).then_some(args)
}
