//! The operator's MCP servers, from `mcp.json` in the data directory or where `ADJUTANT_MCP_CONFIG` says.

use std::io::ErrorKind;

use adjutant_mcp::config::{self, Servers};

use super::data::{Data, absolute};
use super::environment::Reader;

const CONFIG: &str = "ADJUTANT_MCP_CONFIG";
/// All that a stdio server inherits: none of our secrets is among them.
const INHERITED: &[&str] = &["PATH", "HOME", "LANG", "TZ"];

#[derive(Debug, Clone, Default)]
pub struct Mcp {
    pub servers: Servers,
    pub child_env: Vec<(String, String)>,
}

impl Mcp {
    pub(super) fn read(reader: &mut Reader<'_>, data: &Data) -> Self {
        let environment = reader.environment;
        let child_env =
            INHERITED.iter().filter_map(|name| Some(((*name).to_owned(), environment.get(name)?.to_owned()))).collect();
        let named = reader.parsed(CONFIG, absolute);
        let path = named.clone().unwrap_or_else(|| data.dir.join("mcp.json"));
        let servers = match std::fs::read_to_string(&path) {
            Ok(text) => {
                config::parse(&text, &|name| environment.get(name).map(str::to_owned)).unwrap_or_else(|faults| {
                    for fault in faults {
                        reader.fault(&path.display().to_string(), fault.to_string());
                    }
                    Servers::default()
                })
            }
            Err(error) if error.kind() == ErrorKind::NotFound && named.is_none() => Servers::default(),
            Err(error) => {
                reader.fault(CONFIG, format!("cannot read {}: {error}", path.display()));
                Servers::default()
            }
        };
        Self { servers, child_env }
    }
}
