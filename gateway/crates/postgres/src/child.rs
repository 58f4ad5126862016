//! The hidden subcommand between us and postgres, and the command that runs it.
//!
//! It exists because a child must change itself between fork and exec, which only unsafe code can do inside
//! one program. The order matters: changing the user id clears the parent-death signal.
#![expect(clippy::disallowed_methods, reason = "this crate is the one that starts processes")]

use std::convert::Infallible;
use std::ffi::OsString;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::account::Account;
use crate::error::Error;
use crate::install::Install;
use crate::options::Options;

/// A command that becomes `program` of the installation, running as `account` and bound to this process.
/// Its parent is the *thread* that spawns it: the child gets its signal when that thread ends.
pub(crate) fn command(options: &Options, install: &Install, account: Account, program: &str) -> Result<Command, Error> {
    if cfg!(not(target_os = "linux")) {
        return Err(Error::Unsupported);
    }
    let mut command = Command::new(&options.launcher.program);
    command.args(&options.launcher.args);
    command.arg(std::process::id().to_string());
    command.arg(if account.drop { format!("{}:{}", account.uid, account.gid) } else { "-".to_owned() });
    command.arg(install.program(program));
    command.stdin(Stdio::null()).env_clear();
    Ok(command)
}

/// The body of the hidden subcommand. `args` are those behind the launcher's own ([`crate::Launcher::args`]):
/// `PARENT-PID UID:GID|- PROGRAM ARGUMENTS…`. Becomes the program, or says why it cannot.
pub fn launch_child(args: impl IntoIterator<Item = OsString>) -> Result<Infallible, Error> {
    let mut args = args.into_iter();
    let mut next = || args.next().ok_or(Error::Launch("an argument is missing"));
    let parent = number(&next()?).ok_or(Error::Launch("the parent's process number is missing"))?;
    let account = next()?;
    let program = next()?;

    if account != "-" {
        let account = account.to_str().and_then(|text| text.split_once(':'));
        let ids = account.and_then(|(uid, gid)| Some((number(uid.as_ref())?, number(gid.as_ref())?)));
        let (uid, gid) = ids.ok_or(Error::Launch("the user is not of the form uid:gid"))?;
        become_user(uid, gid)?;
    }
    bind_to(parent)?;
    become_program(Path::new(&program), args)
}

fn number(text: &std::ffi::OsStr) -> Option<u32> {
    text.to_str()?.parse().ok()
}

/// Gives up root for good. The ids belong to threads on Linux; the exec below ends all others.
#[cfg(target_os = "linux")]
fn become_user(uid: u32, gid: u32) -> Result<(), Error> {
    use rustix::process::{Gid, Uid};
    use rustix::thread::{set_thread_groups, set_thread_res_gid, set_thread_res_uid};

    if uid == 0 || gid == 0 {
        return Err(Error::Launch("the user must not be root"));
    }
    let (uid, gid) = (Uid::from_raw(uid), Gid::from_raw(gid));
    set_thread_groups(&[])
        .and_then(|()| set_thread_res_gid(gid, gid, gid))
        .and_then(|()| set_thread_res_uid(uid, uid, uid))
        .map_err(|error| Error::io("become the user that may run", "postgres")(error.into()))
}

/// A fast shutdown when the parent dies, a process group of its own so that the terminal's Ctrl-C reaches us
/// and not the server, and no way back to more rights.
#[cfg(target_os = "linux")]
fn bind_to(parent: u32) -> Result<(), Error> {
    use rustix::process::{Signal, getppid, set_parent_process_death_signal, setpgid};

    let bound = set_parent_process_death_signal(Some(Signal::INT))
        .and_then(|()| setpgid(None, None))
        .and_then(|()| rustix::thread::set_no_new_privs(true));
    bound.map_err(|error| Error::io("prepare the start of", "postgres")(error.into()))?;
    // It may have died before we asked for the signal, and then none will come.
    let actual = getppid().map(|pid| pid.as_raw_nonzero().get().unsigned_abs());
    if actual == Some(parent) { Ok(()) } else { Err(Error::Launch("its parent is gone")) }
}

#[cfg(not(target_os = "linux"))]
fn become_user(_uid: u32, _gid: u32) -> Result<(), Error> {
    Err(Error::Unsupported)
}

#[cfg(not(target_os = "linux"))]
fn bind_to(_parent: u32) -> Result<(), Error> {
    Err(Error::Unsupported)
}

/// Our environment may hold secrets and settings of the caller; postgres gets none of it.
fn become_program(program: &Path, args: impl Iterator<Item = OsString>) -> Result<Infallible, Error> {
    use std::os::unix::process::CommandExt;

    let mut command = Command::new(program);
    command.args(args).env_clear().envs([("LC_ALL", "C"), ("TZ", "UTC"), ("PATH", "/usr/bin:/bin")]).current_dir("/");
    Err(Error::io("run", program)(command.exec()))
}
