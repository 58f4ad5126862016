//! The one HTTP client for model providers and the addresses it asks. No redirects, no proxies from
//! the environment, no decompression; the key is bound to this client and goes nowhere else.

use std::sync::Arc;
use std::time::Duration;

use reqwest::header::{AUTHORIZATION, HeaderMap, HeaderName, HeaderValue};
use reqwest::redirect::Policy;
use reqwest::{Client, Proxy, Url};
use secrecy::ExposeSecret;

use crate::egress::{self, PublicOnly};
use crate::settings::{Provider, Reach, Settings, SetupError};

/// Connections kept open without a call, so that the next one saves the handshakes.
const WARM_CONNECTIONS: usize = 64;
const WARM_FOR: Duration = Duration::from_secs(90);
const KEEP_ALIVE: Duration = Duration::from_secs(20);

pub(crate) fn build(settings: &Settings, base: &Url) -> Result<Client, SetupError> {
    let mut headers = HeaderMap::new();
    if let Some(key) = &settings.api_key
        && !key.expose_secret().trim().is_empty()
    {
        let key = key.expose_secret().trim();
        let (name, text) = match settings.provider {
            Provider::OpenAi | Provider::Ollama => (AUTHORIZATION, format!("Bearer {key}")),
            Provider::Anthropic => (HeaderName::from_static("x-api-key"), key.to_owned()),
        };
        let mut value = HeaderValue::from_str(&text).map_err(|_| SetupError::ApiKey)?;
        value.set_sensitive(true);
        headers.insert(name, value);
    }
    let mut builder = Client::builder()
        .default_headers(headers)
        .user_agent(concat!("adjutant/", env!("CARGO_PKG_VERSION")))
        .redirect(Policy::none())
        .no_proxy()
        .no_gzip()
        .no_brotli()
        .no_zstd()
        .no_deflate()
        .referer(false)
        .tcp_nodelay(true)
        .tcp_keepalive(KEEP_ALIVE)
        .connect_timeout(settings.timeouts.connect)
        .pool_max_idle_per_host(WARM_CONNECTIONS)
        .pool_idle_timeout(WARM_FOR)
        .http2_adaptive_window(true)
        .http2_keep_alive_interval(KEEP_ALIVE)
        .http2_keep_alive_timeout(settings.timeouts.connect)
        .http2_keep_alive_while_idle(true);
    if base.scheme() == "http" && settings.proxy.is_none() {
        // Nothing to verify: no certificates are loaded, and none need be installed.
        builder = builder.tls_certs_only([]);
    }
    if settings.reach == Reach::Public {
        // What the resolver finds is filtered; an address in the URL never reaches the resolver.
        if !egress::host_may_be_public(base) {
            return Err(SetupError::Private);
        }
        builder = builder.dns_resolver(Arc::new(PublicOnly));
    }
    if let Some(proxy) = &settings.proxy {
        builder = builder.proxy(Proxy::all(proxy.expose_secret()).map_err(|_| SetupError::Proxy)?);
    }
    builder.build().map_err(|_| SetupError::Tls)
}

/// The base URL, checked; its path ends without a slash and its query is kept.
pub(crate) fn base_url(text: &str) -> Result<Url, SetupError> {
    let mut url = Url::parse(text.trim()).map_err(|_| SetupError::BaseUrl)?;
    if !matches!(url.scheme(), "http" | "https") || !url.has_host() {
        return Err(SetupError::BaseUrl);
    }
    if !url.username().is_empty() || url.password().is_some() || url.fragment().is_some() {
        return Err(SetupError::BaseUrlParts);
    }
    let path = url.path().trim_end_matches('/').to_owned();
    url.set_path(&path);
    Ok(url)
}

pub(crate) fn below(base: &Url, suffix: &str) -> Url {
    let mut url = base.clone();
    url.set_path(&format!("{}/{suffix}", base.path().trim_end_matches('/')));
    url
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_base_url_may_end_with_a_slash_and_hold_a_query() {
        let asked = |text: &str| base_url(text).map(|base| below(&base, "chat/completions").to_string());
        let cases = [
            ("https://api.openai.com/v1", "https://api.openai.com/v1/chat/completions"),
            ("https://api.openai.com/v1/", "https://api.openai.com/v1/chat/completions"),
            (" http://127.0.0.1:4010/v1//\n", "http://127.0.0.1:4010/v1/chat/completions"),
            ("http://[::1]:4010", "http://[::1]:4010/chat/completions"),
            ("https://x.example/openai/v1?api-version=1", "https://x.example/openai/v1/chat/completions?api-version=1"),
        ];
        for (base, url) in cases {
            assert_eq!(asked(base), Ok(url.to_owned()), "{base}");
        }
    }

    #[test]
    fn a_base_url_with_a_password_or_of_another_scheme_is_refused() {
        for text in ["", "api.openai.com/v1", "file:///etc/passwd", "ftp://x.example/", "unix:/run/llm", "http://"] {
            assert_eq!(base_url(text), Err(SetupError::BaseUrl), "{text}");
        }
        for text in ["https://sk-key@x.example/v1", "https://u:p@x.example/v1", "https://x.example/v1#key"] {
            assert_eq!(base_url(text), Err(SetupError::BaseUrlParts), "{text}");
        }
    }
}
