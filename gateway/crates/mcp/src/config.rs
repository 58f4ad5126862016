//! The operator's `mcp.json`: parsed once, all faults reported together. Values that may hold
//! secrets (headers, environment, URL, arguments) never reach `Debug`, `Display` or a fault.

use std::collections::HashMap;
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use adjutant_core::credential::HeaderMapping;
use adjutant_core::tool::AddedBy;
use reqwest::Url;
use reqwest::header::{HeaderName, HeaderValue};
use secrecy::SecretString;
use serde_json::{Map, Value};

use crate::egress::Network;
use crate::expand::{Lookup, expand};

/// Servers of one file; more are refused.
const SERVERS_MAX: usize = 64;
const NAME_MAX: usize = 32;
const TIMEOUT_MAX: f64 = 3_600.0;

/// The parsed file.
#[derive(Debug, Clone, Default)]
pub struct Servers {
    /// Sorted by name; switched-off servers are not among them.
    pub enabled: Vec<Server>,
    pub disabled: Vec<String>,
    /// What was tolerated, such as unknown keys.
    pub warnings: Vec<Fault>,
}

#[derive(Debug, Clone)]
pub struct Server {
    /// 1 to 32 of `a-z`, `0-9`, `-`, `_`.
    pub name: String,
    pub lifecycle: Lifecycle,
    /// How long one tool call may take, if the operator says so.
    pub timeout: Option<Duration>,
    pub transport: Transport,
    pub added_by: AddedBy,
}

/// How a session with the server begins.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Lifecycle {
    /// Ask for the stateless protocol first and fall back to `initialize`.
    #[default]
    Auto,
    Initialize,
    Stateless,
}

#[derive(Debug, Clone)]
pub enum Transport {
    Stdio(Stdio),
    Http(Http),
}

#[derive(Clone)]
pub struct Stdio {
    pub command: String,
    pub args: Vec<String>,
    pub env: Vec<(String, SecretString)>,
    pub cwd: Option<PathBuf>,
}

impl fmt::Debug for Stdio {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<_> = self.env.iter().map(|(name, _)| name).collect();
        let mut out = f.debug_struct("Stdio");
        out.field("command", &self.command).field("args", &self.args.len()).field("env", &names);
        out.field("cwd", &self.cwd).finish()
    }
}

#[derive(Clone)]
pub struct Http {
    pub url: Url,
    /// Marked sensitive, so that no `Debug` shows them.
    pub headers: HashMap<HeaderName, HeaderValue>,
    pub network: Network,
    /// Which credential of each user goes along; without a mapping, one that is named like the server.
    pub credential: Option<HeaderMapping>,
}

impl fmt::Debug for Http {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let origin = self.url.origin().ascii_serialization();
        f.debug_struct("Http").field("origin", &origin).field("headers", &self.headers).finish_non_exhaustive()
    }
}

/// What is wrong with the file, or odd about it. Safe to show.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    pub server: Option<String>,
    pub message: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.server {
            Some(server) => write!(f, "mcp server {server:?}: {}", self.message),
            None => write!(f, "mcp servers: {}", self.message),
        }
    }
}

impl std::error::Error for Fault {}

/// Reads `{"mcpServers": {…}}`, `{"servers": {…}}` or the bare map of servers.
pub fn parse(text: &str, lookup: &dyn Fn(&str) -> Option<String>) -> Result<Servers, Vec<Fault>> {
    let general = |message: String| Fault { server: None, message };
    // A syntax error names line and column, never the text itself.
    let root: Value = serde_json::from_str(text).map_err(|error| vec![general(format!("not JSON: {error}"))])?;
    let Value::Object(mut root) = root else {
        return Err(vec![general("the file must hold a JSON object".to_owned())]);
    };
    let mut servers = Servers::default();
    let mut faults = Vec::new();
    let entries = match root.remove("mcpServers").or_else(|| root.remove("servers")) {
        Some(Value::Object(entries)) => {
            servers
                .warnings
                .extend(root.keys().map(|key| general(format!("the key {key:?} is not known and was ignored"))));
            entries
        }
        Some(_) => return Err(vec![general("`mcpServers` must be an object of servers by name".to_owned())]),
        None => root,
    };
    if entries.len() > SERVERS_MAX {
        faults.push(general(format!("{} servers are more than the {SERVERS_MAX} that are supported", entries.len())));
    }
    for (name, value) in entries {
        let mut entry = Entry { name: &name, lookup, faults: Vec::new(), warnings: Vec::new() };
        match entry.read(value) {
            Some(Reading::On(server)) if entry.faults.is_empty() => servers.enabled.push(*server),
            Some(Reading::Off) if entry.faults.is_empty() => servers.disabled.push(name.clone()),
            _ => {}
        }
        let named = |message| Fault { server: Some(name.clone()), message };
        faults.extend(entry.faults.into_iter().map(named));
        servers.warnings.extend(entry.warnings.into_iter().map(named));
    }
    servers.enabled.sort_by(|a, b| a.name.cmp(&b.name));
    servers.disabled.sort();
    if faults.is_empty() { Ok(servers) } else { Err(faults) }
}

enum Reading {
    On(Box<Server>),
    Off,
}

/// One server being read; collects what is wrong instead of stopping at the first fault.
struct Entry<'a> {
    name: &'a str,
    lookup: Lookup<'a>,
    faults: Vec<String>,
    warnings: Vec<String>,
}

impl Entry<'_> {
    fn read(&mut self, value: Value) -> Option<Reading> {
        if let Err(fault) = check_name(self.name) {
            self.faults.push(fault);
        }
        let Value::Object(mut fields) = value else {
            self.faults.push("must be an object with `command` or `url`".to_owned());
            return None;
        };
        let enabled = self.switch(&mut fields, "enabled");
        // Other clients write `disabled`; ignoring it would start what a person switched off.
        let disabled = self.switch(&mut fields, "disabled");
        if enabled == Some(false) || disabled == Some(true) {
            return Some(Reading::Off);
        }
        let lifecycle = self.lifecycle(&mut fields);
        let timeout = self.timeout(&mut fields);
        let kind = fields.remove("type").map(|kind| kind.as_str().unwrap_or_default().to_owned());
        let transport = match (fields.contains_key("command"), fields.contains_key("url"), kind.as_deref()) {
            (true, false, None | Some("stdio")) => self.stdio(&mut fields).map(Transport::Stdio),
            (false, true, None | Some("http" | "streamable-http" | "streamableHttp" | "streamable_http")) => {
                self.http(&mut fields).map(Transport::Http)
            }
            (false, true, Some("sse")) => {
                self.fault("`type` \"sse\" is not supported; use the server's Streamable HTTP address and \"http\"")
            }
            (true, true, _) => self.fault("has both `command` and `url`"),
            (false, false, _) => self.fault("needs `command` or `url`"),
            (true, false, Some(_)) => self.fault("`type` must be \"stdio\" for a server with `command`"),
            (false, true, Some(_)) => {
                self.fault("`type` must be \"http\" or \"streamable-http\" for a server with `url`")
            }
        };
        self.warnings.extend(fields.keys().map(|key| format!("the key {key:?} is not known and was ignored")));
        let added_by = AddedBy::Operator;
        let server = Server { name: self.name.to_owned(), lifecycle, timeout, transport: transport?, added_by };
        Some(Reading::On(Box::new(server)))
    }

    fn stdio(&mut self, fields: &mut Map<String, Value>) -> Option<Stdio> {
        let command = self.text("`command`", fields.remove("command")?);
        let args = match fields.remove("args") {
            None => Some(Vec::new()),
            Some(Value::Array(args)) => {
                let args: Vec<_> = args.into_iter().map(|arg| self.text("each of `args`", arg)).collect();
                args.into_iter().collect()
            }
            Some(_) => self.fault("`args` must be a list of strings"),
        };
        let env = self.pairs(fields, "env")?;
        // A missing `cwd` is fine, a faulty one has been reported.
        let cwd = match fields.remove("cwd") {
            None => None,
            Some(cwd) => Some(PathBuf::from(self.text("`cwd`", cwd)?)),
        };
        for (name, _) in &env {
            if name.is_empty() || name.contains(['=', '\0']) {
                self.faults.push(format!("{name:?} is no name of an environment variable"));
            }
        }
        let command = command?;
        if command.is_empty() {
            return self.fault("`command` is empty");
        }
        let env = env.into_iter().map(|(name, value)| (name, SecretString::from(value))).collect();
        Some(Stdio { command, args: args?, env, cwd })
    }

    fn http(&mut self, fields: &mut Map<String, Value>) -> Option<Http> {
        let url = self.text("`url`", fields.remove("url")?);
        let credential = match fields.remove("credential") {
            None => None,
            Some(mapping) => match HeaderMapping::read(self.name, &mapping) {
                Ok(mapping) => Some(mapping),
                Err(reason) => self.fault(&format!("`credential` {reason}")),
            },
        };
        let mut headers = HashMap::new();
        for (name, value) in self.pairs(fields, "headers")? {
            let parsed = HeaderName::try_from(name.as_str()).ok().zip(HeaderValue::try_from(value).ok());
            match parsed {
                Some((header, _)) if RESERVED.contains(&header.as_str()) => {
                    self.faults.push(format!("the header {name:?} is set by the protocol and cannot be configured"));
                }
                Some((header, mut value)) => {
                    value.set_sensitive(true);
                    headers.insert(header, value);
                }
                None => self.faults.push(format!("the header {name:?} has a name or value that HTTP does not allow")),
            }
        }
        match Url::parse(&url?) {
            Ok(url) if matches!(url.scheme(), "http" | "https") && url.has_host() => {
                Some(Http { url, headers, network: Network::Anywhere, credential })
            }
            _ => self.fault("`url` must be an http or https address"),
        }
    }

    fn lifecycle(&mut self, fields: &mut Map<String, Value>) -> Lifecycle {
        match fields.remove("lifecycle").as_ref().map(Value::as_str) {
            None | Some(Some("auto")) => Lifecycle::Auto,
            Some(Some("initialize")) => Lifecycle::Initialize,
            Some(Some("stateless")) => Lifecycle::Stateless,
            Some(_) => self.fault("`lifecycle` must be \"auto\", \"initialize\" or \"stateless\"").unwrap_or_default(),
        }
    }

    fn timeout(&mut self, fields: &mut Map<String, Value>) -> Option<Duration> {
        let seconds = fields.remove("timeout")?.as_f64().filter(|seconds| (0.001..=TIMEOUT_MAX).contains(seconds));
        let Some(seconds) = seconds else {
            return self.fault("`timeout` must be a number of seconds, above 0 and at most 3600");
        };
        Some(Duration::from_secs_f64(seconds))
    }

    fn switch(&mut self, fields: &mut Map<String, Value>, key: &str) -> Option<bool> {
        match fields.remove(key)? {
            Value::Bool(on) => Some(on),
            _ => self.fault(&format!("`{key}` must be true or false")),
        }
    }

    /// An object of texts. Numbers and switches are taken as their text: people write ports so.
    fn pairs(&mut self, fields: &mut Map<String, Value>, key: &str) -> Option<Vec<(String, String)>> {
        match fields.remove(key) {
            None => Some(Vec::new()),
            Some(Value::Object(pairs)) => {
                let mut out = Vec::new();
                for (name, value) in pairs {
                    let value = match value {
                        Value::Number(_) | Value::Bool(_) => Value::String(value.to_string()),
                        other => other,
                    };
                    if let Some(value) = self.text(&format!("{name:?} in `{key}`"), value) {
                        out.push((name, value));
                    }
                }
                Some(out)
            }
            Some(_) => self.fault(&format!("`{key}` must be an object of strings")),
        }
    }

    fn text(&mut self, what: &str, value: Value) -> Option<String> {
        let Value::String(text) = value else { return self.fault(&format!("{what} must be a string")) };
        match expand(&text, self.lookup) {
            Ok(text) if text.contains('\0') => self.fault(&format!("{what} holds a NUL character")),
            Ok(text) => Some(text),
            Err(faults) => {
                self.faults.extend(faults.into_iter().map(|fault| format!("{what}: {fault}")));
                None
            }
        }
    }

    fn fault<T>(&mut self, message: &str) -> Option<T> {
        self.faults.push(message.to_owned());
        None
    }
}

/// Headers that the transport sets itself.
pub(crate) const RESERVED: &[&str] = &[
    "accept",
    "connection",
    "content-length",
    "content-type",
    "host",
    "last-event-id",
    "mcp-protocol-version",
    "mcp-session-id",
    "transfer-encoding",
];

/// `__` divides server and tool in a tool's name, so that it must not occur in a server's.
pub fn check_name(name: &str) -> Result<(), String> {
    let plain = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit() || c == b'-' || c == b'_';
    let fits = (1..=NAME_MAX).contains(&name.len()) && name.bytes().all(plain);
    if fits && !name.contains("__") && !name.ends_with('_') {
        return Ok(());
    }
    Err(format!(
        "a server's name is 1 to {NAME_MAX} characters of a-z, 0-9, '-' and '_', without \"__\" and not ending in '_'"
    ))
}
