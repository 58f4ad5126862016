//! What the terminal client needs: where the server is, and a key for it.

use secrecy::SecretString;
use url::Url;

use super::environment::{Environment, Faults, Reader};

const URL: &str = "ADJUTANT_URL";
const KEY: &str = "ADJUTANT_API_KEY";
const LISTEN: &str = "ADJUTANT_LISTEN";
const SEED: &str = "ASSISTANT_API_KEY";

#[derive(Debug, Clone)]
pub struct Client {
    /// Without a path, as `http://127.0.0.1:8080`.
    pub url: Url,
    /// `ADJUTANT_API_KEY`, else the key that the server is seeded with.
    pub key: Option<SecretString>,
}

impl Client {
    pub fn read(environment: &Environment) -> Result<Self, Faults> {
        let mut reader = Reader::new(environment);
        let listen = reader.text(LISTEN).unwrap_or("127.0.0.1:8080").replace("0.0.0.0:", "127.0.0.1:");
        let default = Url::parse(&format!("http://{listen}"));
        let url = match reader.parsed(URL, server) {
            Some(url) => Some(url),
            None => default.ok(),
        };
        let key = reader.secret(KEY).or_else(|| reader.secret(SEED));
        #[expect(clippy::expect_used, reason = "the text is a constant")]
        let url = url.unwrap_or_else(|| Url::parse("http://127.0.0.1:8080").expect("a valid URL"));
        reader.finish(Self { url, key })
    }
}

fn server(text: &str) -> Result<Url, &'static str> {
    let url = Url::parse(text).map_err(|_| "is no URL, as http://127.0.0.1:8080")?;
    let plain = url.username().is_empty() && url.password().is_none() && url.query().is_none();
    if matches!(url.scheme(), "http" | "https") && plain {
        Ok(url)
    } else {
        Err("must be http:// or https:// and a host")
    }
}
