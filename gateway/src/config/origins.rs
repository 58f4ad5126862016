//! Where a credential may go: the origin that a person names, or that of the model provider or MCP server that the
//! service is called after.

use adjutant_core::credential::Service;
use adjutant_mcp::config::Transport;
use url::Url;

use super::Config;

impl Config {
    /// The origin to store with a credential of that service. What is refused is a sentence to show.
    pub fn origin_for(&self, service: &Service, named: Option<&str>) -> Result<String, String> {
        let named = named.map(parse).transpose()?;
        if let Some(provider) = service.provider() {
            let known = self.model.origin_of(provider).ok_or_else(|| {
                format!("there is no model provider {provider:?} here; `adjutant doctor` lists those that are")
            })?;
            return match named {
                Some(other) if other != known => {
                    Err(format!("keys for {provider} go to {known} here, and nowhere else: leave origin out"))
                }
                _ => Ok(known),
            };
        }
        named.or_else(|| self.origin_of_server(service.as_str())).ok_or_else(|| {
            format!("name the origin that the credential for {service} may be sent to, as https://mcp.example.org")
        })
    }

    /// Of the operator's server that takes this credential; none when several do, at different places.
    fn origin_of_server(&self, service: &str) -> Option<String> {
        let mut origins = self.mcp.servers.enabled.iter().filter_map(|server| {
            let Transport::Http(http) = &server.transport else { return None };
            let wanted = http.credential.as_ref().map_or(server.name.as_str(), |mapping| mapping.service.as_str());
            (wanted == service).then(|| http.url.origin().ascii_serialization())
        });
        let first = origins.next()?;
        origins.all(|other| other == first).then_some(first)
    }
}

/// A whole URL is taken for its origin.
fn parse(text: &str) -> Result<String, String> {
    let wrong = || "the origin must be a scheme and a host, as https://mcp.example.org".to_owned();
    let url = Url::parse(text).map_err(|_| wrong())?;
    let plain = url.username().is_empty() && url.password().is_none() && url.has_host();
    let origin = url.origin().ascii_serialization();
    if matches!(url.scheme(), "http" | "https") && plain && origin.len() <= 300 { Ok(origin) } else { Err(wrong()) }
}
