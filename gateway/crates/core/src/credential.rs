//! Credentials of users: the names of services, what a secret consists of, and the header in which an MCP server gets
//! it. How secrets are encrypted is the store's matter.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use secrecy::{ExposeSecret, SecretString};
use serde::Serialize;
use serde_json::{Map, Value};

use crate::limits;

/// Before the name of a model provider: the services that hold keys for language models.
const MODEL_PREFIX: &str = "llm_";
const SERVICE_MAX: usize = 40;
/// Shorter secrets show nothing of themselves, not even four characters.
const TELLING: usize = 12;

/// What a secret is for: a model provider (`llm_openai`), or a service that an MCP server speaks for (`garmin`).
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct Service(Arc<str>);

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a service is named by 1 to 40 characters of a-z, 0-9, '-' and '_', and starts with a letter or digit")]
pub struct InvalidService;

impl Service {
    pub fn parse(text: &str) -> Result<Self, InvalidService> {
        let plain = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit();
        let bytes = text.as_bytes();
        let fits = (1..=SERVICE_MAX).contains(&bytes.len())
            && plain(bytes[0])
            && bytes.iter().all(|&c| plain(c) || c == b'-' || c == b'_')
            && text != MODEL_PREFIX;
        if fits { Ok(Self(text.into())) } else { Err(InvalidService) }
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The provider whose models it opens, for a service that is one.
    pub fn provider(&self) -> Option<&str> {
        self.0.strip_prefix(MODEL_PREFIX)
    }
}

impl FromStr for Service {
    type Err = InvalidService;

    fn from_str(text: &str) -> Result<Self, InvalidService> {
        Self::parse(text)
    }
}

impl fmt::Display for Service {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Service {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Service({})", self.0)
    }
}

/// What is kept for a service. `Debug` shows nothing of it.
#[derive(Clone)]
pub enum Secret {
    /// For a model provider.
    Model { api_key: SecretString, preferred_model: Option<String> },
    /// Goes into the one header that the server's mapping names.
    Token(SecretString),
    /// Go as they are.
    Headers(Vec<(String, SecretString)>),
}

/// What is wrong with a secret. Names fields and never quotes a value.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct InvalidSecret(String);

fn invalid<T>(why: impl Into<String>) -> Result<T, InvalidSecret> {
    Err(InvalidSecret(why.into()))
}

impl Secret {
    /// Reads `{api_key, preferred_model}` for a model provider, `{token}` or `{headers}` for everything else.
    pub fn read(service: &Service, fields: &Map<String, Value>) -> Result<Self, InvalidSecret> {
        let known: &[&str] =
            if service.provider().is_some() { &["api_key", "preferred_model"] } else { &["token", "headers"] };
        if let Some(other) = fields.keys().find(|name| !known.contains(&name.as_str())) {
            // A secret in the wrong place must not come back in an error.
            let other = if other.len() <= SERVICE_MAX { format!("{other:?}") } else { "one of the fields".to_owned() };
            return invalid(format!("{other} is not for {service}, which takes {}", known.join(" and ")));
        }
        if service.provider().is_some() {
            let Some(api_key) = fields.get("api_key") else {
                return invalid(format!("api_key is missing for {service}"));
            };
            let preferred_model = match fields.get("preferred_model") {
                None | Some(Value::Null) => None,
                Some(Value::String(name)) if is_model(name) => Some(name.clone()),
                Some(_) => return invalid("preferred_model must be the name of a model"),
            };
            return Ok(Self::Model { api_key: value("api_key", api_key)?, preferred_model });
        }
        match (fields.get("token"), fields.get("headers")) {
            (Some(token), None) => Ok(Self::Token(value("token", token)?)),
            (None, Some(headers)) => Ok(Self::Headers(read_headers(headers)?)),
            _ => invalid(format!("{service} takes either token or headers")),
        }
    }

    /// What [`Secret::read`] reads. Whoever calls this is about to encrypt it.
    pub fn expose(&self) -> Value {
        match self {
            Self::Model { api_key, preferred_model } => {
                let mut fields = Map::new();
                fields.insert("api_key".to_owned(), api_key.expose_secret().into());
                if let Some(model) = preferred_model {
                    fields.insert("preferred_model".to_owned(), model.as_str().into());
                }
                Value::Object(fields)
            }
            Self::Token(token) => serde_json::json!({"token": token.expose_secret()}),
            Self::Headers(headers) => {
                let headers: Map<String, Value> =
                    headers.iter().map(|(name, value)| (name.clone(), value.expose_secret().into())).collect();
                serde_json::json!({"headers": headers})
            }
        }
    }

    /// The last four characters, by which a person recognises it; nothing of a short one.
    pub fn last_four(&self) -> Option<String> {
        let text = match self {
            Self::Model { api_key, .. } => api_key,
            Self::Token(token) => token,
            Self::Headers(headers) => &headers.first()?.1,
        };
        let text = text.expose_secret();
        (text.len() >= TELLING).then(|| text[text.len() - 4..].to_owned())
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match self {
            Self::Model { .. } => "Model",
            Self::Token(_) => "Token",
            Self::Headers(_) => "Headers",
        };
        write!(f, "Secret::{kind}(…)")
    }
}

fn is_model(name: &str) -> bool {
    (1..=200).contains(&name.chars().count()) && !name.chars().any(char::is_control) && name.trim() == name
}

/// A value that a header can carry: visible ASCII, spaces only inside.
fn value(field: &str, value: &Value) -> Result<SecretString, InvalidSecret> {
    let Value::String(text) = value else { return invalid(format!("{field} must be a string")) };
    if text.is_empty() {
        return invalid(format!("{field} is empty"));
    }
    if text.len() > limits::CREDENTIAL_BYTES {
        return invalid(format!("{field} is longer than {} bytes", limits::CREDENTIAL_BYTES));
    }
    if text.trim() != text || !text.bytes().all(|c| c.is_ascii_graphic() || c == b' ') {
        return invalid(format!(
            "{field} must be visible ASCII without spaces around it: nothing else can travel in a header"
        ));
    }
    Ok(text.as_str().into())
}

fn read_headers(headers: &Value) -> Result<Vec<(String, SecretString)>, InvalidSecret> {
    let Value::Object(headers) = headers else { return invalid("headers must be an object of strings") };
    if headers.is_empty() || headers.len() > limits::CREDENTIAL_HEADERS {
        return invalid(format!("headers must name 1 to {} headers", limits::CREDENTIAL_HEADERS));
    }
    let mut read: Vec<(String, SecretString)> = Vec::new();
    for (name, text) in headers {
        if !is_header(name) {
            return invalid("headers holds a name that no header can have, or that the protocol sets itself");
        }
        if read.iter().any(|(other, _)| other.eq_ignore_ascii_case(name)) {
            return invalid("headers names a header twice");
        }
        read.push((name.clone(), value("each of headers", text)?));
    }
    Ok(read)
}

/// Headers that the transport sets itself, or that would change where a request goes.
const RESERVED: &[&str] = &[
    "accept",
    "connection",
    "content-encoding",
    "content-length",
    "content-type",
    "expect",
    "forwarded",
    "host",
    "keep-alive",
    "last-event-id",
    "mcp-protocol-version",
    "mcp-session-id",
    "origin",
    "proxy-authorization",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "via",
];

/// Whether a credential may travel in a header of that name.
pub fn is_header(name: &str) -> bool {
    let token = |c: u8| c.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&c);
    (1..=100).contains(&name.len())
        && name.bytes().all(token)
        && !RESERVED.iter().any(|reserved| reserved.eq_ignore_ascii_case(name))
}

/// Which service an MCP server takes its credential from, and how a token travels to it. Configuration of the server,
/// so that a new service needs no code.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeaderMapping {
    pub service: Service,
    pub header: String,
    /// Stands before the token, as in `Bearer …`.
    pub scheme: Option<String>,
}

/// What servers of well-known names expect; others get `Authorization: Bearer`.
const DEFAULTS: &[(&str, &str, Option<&str>)] = &[
    ("garmin", "X-Garmin-Token", None),
    ("google", "Authorization", Some("Bearer")),
    ("splitwise", "X-Splitwise-Key", None),
];

impl HeaderMapping {
    /// For a server without a mapping of its own: the service of its own name, in that service's usual header.
    pub fn of(server: &str) -> Result<Self, InvalidService> {
        let service = Service::parse(server)?;
        let (header, scheme) = DEFAULTS
            .iter()
            .find(|(name, ..)| *name == server)
            .map_or(("Authorization", Some("Bearer")), |(_, header, scheme)| (header, *scheme));
        Ok(Self { service, header: header.to_owned(), scheme: scheme.map(str::to_owned) })
    }

    /// Reads `{"service": …, "header": …, "scheme": …}`, each with its default. `scheme: ""` means none.
    pub fn read(server: &str, value: &Value) -> Result<Self, String> {
        let Value::Object(fields) = value else {
            return Err("must be an object with `service`, `header` and `scheme`".to_owned());
        };
        let text = |name: &str| match fields.get(name) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text.as_str())),
            Some(_) => Err(format!("`{name}` must be a string")),
        };
        if let Some(other) = fields.keys().find(|name| !["service", "header", "scheme"].contains(&name.as_str())) {
            return Err(format!("{other:?} is not known; there are `service`, `header` and `scheme`"));
        }
        let service = text("service")?.unwrap_or(server);
        let mut mapping = Self::of(service).map_err(|error| error.to_string())?;
        if mapping.service.provider().is_some() {
            return Err("keys of model providers are never sent to an MCP server".to_owned());
        }
        if let Some(header) = text("header")? {
            if !is_header(header) {
                return Err(format!("{header:?} is no header that can be set"));
            }
            header.clone_into(&mut mapping.header);
            // The default scheme belongs to the default header.
            mapping.scheme = None;
        }
        if let Some(scheme) = text("scheme")? {
            if scheme.len() > 40 || !scheme.bytes().all(|c| c.is_ascii_graphic()) {
                return Err("`scheme` must be a word, as Bearer".to_owned());
            }
            mapping.scheme = Some(scheme.to_owned()).filter(|scheme| !scheme.is_empty());
        }
        Ok(mapping)
    }

    /// The headers that carry the secret.
    pub fn headers(&self, secret: &Secret) -> Vec<(String, SecretString)> {
        match secret {
            // Never to a tool server, whatever its mapping says.
            Secret::Model { .. } => Vec::new(),
            Secret::Headers(headers) => headers.clone(),
            Secret::Token(token) => {
                let value = match &self.scheme {
                    Some(scheme) => format!("{scheme} {}", token.expose_secret()).into(),
                    None => token.clone(),
                };
                vec![(self.header.clone(), value)]
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(service: &str, fields: &Value) -> Result<Secret, InvalidSecret> {
        Secret::read(&Service::parse(service).unwrap(), fields.as_object().unwrap())
    }

    #[test]
    fn a_service_is_a_short_name_and_one_of_a_model_names_its_provider() {
        assert_eq!(Service::parse("llm_openai").unwrap().provider(), Some("openai"));
        assert_eq!(Service::parse("garmin").unwrap().provider(), None);
        for bad in ["", "llm_", "*", "Garmin", "a/b", "_a", "ä", &"x".repeat(41)] {
            assert!(Service::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn each_kind_of_service_takes_its_form_and_gives_it_back() {
        for (service, fields) in [
            ("llm_openai", json!({"api_key": "sk-1", "preferred_model": "gpt-5-mini"})),
            ("llm_other", json!({"api_key": "sk-1"})),
            ("garmin", json!({"token": "t o k"})),
            ("notes", json!({"headers": {"X-Id": "1", "X-Secret": "2"}})),
        ] {
            assert_eq!(read(service, &fields).unwrap().expose(), fields);
        }
    }

    #[test]
    fn what_no_header_can_carry_is_refused_and_never_quoted() {
        let long = "x".repeat(limits::CREDENTIAL_BYTES + 1);
        for (service, fields) in [
            ("llm_openai", json!({})),
            ("llm_openai", json!({"token": "hunter2"})),
            ("llm_openai", json!({"api_key": ""})),
            ("llm_openai", json!({"api_key": ["hunter2"]})),
            ("llm_openai", json!({"api_key": "hunter2\n"})),
            ("llm_openai", json!({"api_key": "hunter2", "preferred_model": ["hunter2"]})),
            ("garmin", json!({"api_key": "hunter2"})),
            ("garmin", json!({"token": "hunter2", "headers": {}})),
            ("garmin", json!({"token": "hunter2\r\nX-Evil: 1"})),
            ("garmin", json!({"token": "hünter2"})),
            ("garmin", json!({"token": long})),
            ("garmin", json!({"headers": {}})),
            ("garmin", json!({"headers": {"Host": "hunter2"}})),
            ("garmin", json!({"headers": {"X-A": "hunter2", "x-a": "hunter2"}})),
            ("garmin", json!({"headers": {"X A": "hunter2"}})),
            ("garmin", json!({"headers": {"X-A": 2}})),
        ] {
            let error = read(service, &fields).expect_err(&fields.to_string()).to_string();
            assert!(!error.contains("nter2") && error.len() < 200, "{error}");
        }
    }

    #[test]
    fn a_secret_shows_its_last_four_characters_at_most() {
        let secret = read("garmin", &json!({"token": "0123456789abcdef"})).unwrap();
        assert_eq!(secret.last_four().as_deref(), Some("cdef"));
        assert!(!format!("{secret:?}").contains("cdef"));
        assert_eq!(read("garmin", &json!({"token": "hunter2"})).unwrap().last_four(), None);
    }

    #[test]
    fn servers_have_their_usual_header_and_a_mapping_of_their_own_needs_no_code() {
        let told = |mapping: HeaderMapping| {
            let token = Secret::Token("tok".into());
            let (name, value) = mapping.headers(&token).remove(0);
            format!("{} {name}: {}", mapping.service, value.expose_secret())
        };
        assert_eq!(told(HeaderMapping::of("garmin").unwrap()), "garmin X-Garmin-Token: tok");
        assert_eq!(told(HeaderMapping::of("google").unwrap()), "google Authorization: Bearer tok");
        assert_eq!(told(HeaderMapping::of("splitwise").unwrap()), "splitwise X-Splitwise-Key: tok");
        assert_eq!(told(HeaderMapping::of("notes").unwrap()), "notes Authorization: Bearer tok");
        for (server, value, expected) in [
            ("mail", json!({"service": "google"}), "google Authorization: Bearer tok"),
            ("mail", json!({"header": "X-Mail"}), "mail X-Mail: tok"),
            ("mail", json!({"header": "Authorization", "scheme": "Token"}), "mail Authorization: Token tok"),
            ("mail", json!({"scheme": ""}), "mail Authorization: tok"),
        ] {
            assert_eq!(told(HeaderMapping::read(server, &value).unwrap()), expected);
        }
        for bad in [
            json!("garmin"),
            json!({"header": "Host"}),
            json!({"header": "a b"}),
            json!({"header": 1}),
            json!({"scheme": "a b"}),
            json!({"service": "llm_openai"}),
            json!({"prefix": "x"}),
        ] {
            assert!(HeaderMapping::read("mail", &bad).is_err(), "{bad}");
        }
        let key = Secret::Model { api_key: "sk".into(), preferred_model: None };
        assert!(HeaderMapping::of("garmin").unwrap().headers(&key).is_empty(), "a model's key never leaves to a tool");
    }
}
