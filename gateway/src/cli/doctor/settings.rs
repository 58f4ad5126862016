//! Where the settings come from, and who may read them.

use super::{Check, State, check};
use crate::config::environment::{Environment, SettingsFile};

pub(super) fn file(environment: &Environment) -> Check {
    let (state, detail) = match environment.file() {
        None => (State::Warning, "there is no place for it: set ADJUTANT_DATA_DIR or HOME".to_owned()),
        Some(file) => about(file),
    };
    check("settings", "file", state, detail)
}

fn about(file: &SettingsFile) -> (State, String) {
    let path = file.path.display();
    match (file.warning(), file.mode) {
        (Some(warning), _) => (State::Warning, warning),
        (None, None) => (State::Ok, format!("none; `adjutant init` makes {path}")),
        (None, Some(mode)) => (State::Ok, format!("{path}, mode {mode:04o}")),
    }
}
