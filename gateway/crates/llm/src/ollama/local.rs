//! An Ollama on this machine that nobody configured: whether it is there, and which of its models
//! answers. The rule: the one that was added or changed last, of those that chat and run here. Left out
//! are models that only embed and those that Ollama hands on to its cloud.

use adjutant_core::limits;
use serde::Deserialize;

use crate::client;
use crate::http;
use crate::settings::{Provider, Settings};

#[derive(Debug, Deserialize)]
struct Tags {
    #[serde(default)]
    models: Vec<Tag>,
}

#[derive(Debug, Deserialize)]
struct Tag {
    name: String,
    /// RFC 3339, with the offset of the machine.
    #[serde(default)]
    modified_at: String,
    #[serde(default)]
    details: Details,
}

#[derive(Debug, Default, Deserialize)]
struct Details {
    #[serde(default)]
    family: String,
}

/// The model that answers there, or `None`: nobody is there, or nobody who could chat.
pub(crate) async fn find(base_url: &str) -> Option<String> {
    let base = http::base_url(base_url).ok()?;
    let settings = Settings::new(Provider::Ollama, base_url, "unknown", None);
    let http = http::build(&settings, &base).ok()?;
    let asked = http.get(http::below(&base, "api/tags")).timeout(limits::MODEL_PROBE).send();
    let response = asked.await.ok()?.error_for_status().ok()?;
    let body = client::whole_body(response, limits::MODEL_PROBE).await.ok()?;
    choose(serde_json::from_str::<Tags>(&body).ok()?.models)
}

fn choose(tags: Vec<Tag>) -> Option<String> {
    let chats = |tag: &Tag| {
        let name = tag.name.to_ascii_lowercase();
        let embeds = name.contains("embed") || tag.details.family.contains("bert");
        !name.is_empty() && !embeds && !name.ends_with("cloud")
    };
    let changed = |tag: &Tag| chrono::DateTime::parse_from_rfc3339(&tag.modified_at).ok();
    let fit = tags.into_iter().filter(chats);
    // Of two that changed in the same instant the first by name.
    fit.max_by(|a, b| changed(a).cmp(&changed(b)).then_with(|| b.name.cmp(&a.name))).map(|tag| tag.name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_model_that_changed_last_answers_if_it_chats_and_runs_here() {
        let tag = |name: &str, modified_at: &str, family: &str| {
            format!(r#"{{"name":"{name}","modified_at":"{modified_at}","details":{{"family":"{family}"}}}}"#)
        };
        let chosen = |tags: &[String]| {
            let body = format!(r#"{{"models":[{}]}}"#, tags.join(","));
            choose(serde_json::from_str::<Tags>(&body).unwrap().models)
        };
        let old = tag("llama3.2:latest", "2026-01-02T03:04:05.6789+02:00", "llama");
        let new = tag("qwen3:8b", "2026-01-02T01:04:06Z", "qwen3");
        assert_eq!(chosen(&[new.clone(), old.clone()]).as_deref(), Some("qwen3:8b"));
        assert_eq!(chosen(std::slice::from_ref(&old)).as_deref(), Some("llama3.2:latest"));
        let unfit = [
            tag("nomic-embed-text:latest", "2026-11-01T00:00:00Z", "nomic-bert"),
            tag("all-minilm:latest", "2026-11-01T00:00:00Z", "bert"),
            tag("gpt-oss:120b-cloud", "2026-11-01T00:00:00Z", "gptoss"),
        ];
        assert_eq!(chosen(&unfit), None);
        assert_eq!(chosen(&[&unfit[..], &[old]].concat()).as_deref(), Some("llama3.2:latest"));
        assert_eq!(chosen(&[tag("b", "", ""), tag("a", "", "")]).as_deref(), Some("a"));
        assert_eq!(chosen(&[]), None);
    }
}
