//! The operator's profiles, from `profiles.toml` in the data directory or where `ADJUTANT_PROFILES` says. Texts may
//! stand in files beside it. What is read here is written to the database at start.

use std::io::{ErrorKind, Read as _};
use std::path::{Path, PathBuf};

use adjutant_core::limits;
use adjutant_core::profile::{InvalidProfile, ProfileSettings, parse_time_zone};
use adjutant_core::scope::{ProfileName, UserId};
use adjutant_mcp::config::Servers;
use serde::Deserialize;

use super::data::{Data, absolute};
use super::environment::Reader;

const PROFILES: &str = "ADJUTANT_PROFILES";
const NAME: &str = "profiles.toml";

#[derive(Debug, Clone, Default)]
pub struct Profiles {
    pub entries: Vec<SeededProfile>,
}

/// A profile as the file has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SeededProfile {
    pub user: UserId,
    pub name: ProfileName,
    pub settings: ProfileSettings,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default, rename = "profile")]
    profiles: Vec<Entry>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    /// The owner of the server if absent.
    user: Option<String>,
    name: String,
    #[serde(default)]
    display_name: String,
    #[serde(default)]
    models: Vec<String>,
    system_prompt: Option<String>,
    system_prompt_file: Option<PathBuf>,
    user_context: Option<String>,
    user_context_file: Option<PathBuf>,
    time_zone: Option<String>,
    servers: Option<Vec<String>>,
}

impl Profiles {
    pub(super) fn read(reader: &mut Reader<'_>, data: &Data, owner: &UserId, servers: &Servers) -> Self {
        let named = reader.parsed(PROFILES, absolute);
        let path = named.clone().unwrap_or_else(|| data.dir.join(NAME));
        let text = match contents(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == ErrorKind::NotFound && named.is_none() => return Self::default(),
            Err(error) => {
                reader.fault(PROFILES, format!("cannot read {}: {error}", path.display()));
                return Self::default();
            }
        };
        let place = path.display().to_string();
        let file: File = match toml::from_str(&text) {
            Ok(file) => file,
            Err(error) => {
                let line = text[..error.span().map_or(0, |span| span.start)].matches('\n').count() + 1;
                reader.fault(&place, format!("line {line}: {}", error.message()));
                return Self::default();
            }
        };
        let folder = path.parent().unwrap_or(Path::new("."));
        let mut entries: Vec<SeededProfile> = Vec::new();
        for entry in file.profiles {
            let name = entry.name.clone();
            match entry.accept(owner, folder, servers) {
                Ok(seeded)
                    if entries.iter().any(|other| (&other.user, &other.name) == (&seeded.user, &seeded.name)) =>
                {
                    reader.fault(&place, format!("profile {name:?}: is there twice for the same user"));
                }
                Ok(seeded) => entries.push(seeded),
                Err(faults) => {
                    for fault in faults {
                        reader.fault(&place, format!("profile {name:?}: {fault}"));
                    }
                }
            }
        }
        Self { entries }
    }
}

impl Entry {
    /// All that is wrong with it, or the profile.
    fn accept(self, owner: &UserId, folder: &Path, servers: &Servers) -> Result<SeededProfile, Vec<String>> {
        let mut faults = Vec::new();
        let user = self.user.as_deref().map_or_else(|| Ok(owner.clone()), UserId::parse);
        let name = ProfileName::parse(&self.name);
        let zone = parse_time_zone(self.time_zone.as_deref().unwrap_or("UTC"));
        let prompt = text("system_prompt", self.system_prompt, self.system_prompt_file, folder);
        let context = text("user_context", self.user_context, self.user_context_file, folder);
        for server in self.servers.iter().flatten() {
            if !servers.enabled.iter().any(|known| known.name == *server) && !servers.disabled.contains(server) {
                faults.push(format!("servers names {server:?}, which mcp.json does not have"));
            }
        }
        let mut told = |fault: String| faults.push(fault);
        let user = user.map_err(|error| told(error.to_string())).ok();
        let name = name.map_err(|error| told(error.to_string())).ok();
        let zone = zone.map_err(|invalid| told(in_file(&invalid))).ok();
        let prompt = prompt.map_err(&mut told).ok();
        let context = context.map_err(&mut told).ok();
        let settings = ProfileSettings {
            display_name: self.display_name,
            models: self.models,
            system_prompt: prompt.flatten(),
            user_context: context.flatten(),
            time_zone: zone.unwrap_or_default(),
            allowed_servers: self.servers,
        };
        let settings = settings.accept().map_err(|invalid| told(in_file(&invalid))).ok();
        match (user, name, settings) {
            (Some(user), Some(name), Some(settings)) if faults.is_empty() => Ok(SeededProfile { user, name, settings }),
            _ => Err(faults),
        }
    }
}

/// The fault with the name that the file has for the field.
fn in_file(invalid: &InvalidProfile) -> String {
    let field = match invalid.field {
        "displayName" => "display_name",
        "systemPrompt" => "system_prompt",
        "userContext" => "user_context",
        "timeZone" => "time_zone",
        "allowedServers" => "servers",
        other => other,
    };
    format!("{field} {}", invalid.reason)
}

/// A text that stands in the file itself or in one beside it.
fn text(field: &str, given: Option<String>, file: Option<PathBuf>, folder: &Path) -> Result<Option<String>, String> {
    match (given, file) {
        (Some(_), Some(_)) => Err(format!("{field} and {field}_file cannot both be given")),
        (given, None) => Ok(given),
        (None, Some(file)) => {
            let path = folder.join(file);
            let read =
                contents(&path).map_err(|error| format!("{field}_file: cannot read {}: {error}", path.display()));
            Ok(Some(read?))
        }
    }
}

fn contents(path: &Path) -> std::io::Result<String> {
    let mut text = String::new();
    let mut file = std::fs::File::open(path)?.take(limits::PROFILE_FILE_BYTES + 1);
    if file.read_to_string(&mut text)? as u64 > limits::PROFILE_FILE_BYTES {
        return Err(std::io::Error::other(format!("it is larger than {} bytes", limits::PROFILE_FILE_BYTES)));
    }
    Ok(text)
}
