//! Files that come inside a request, as base64 or as a `data:` URL: stored as uploads are, once however often the same
//! bytes come under the same name. Nothing is ever fetched from an address that a client names.

use adjutant_core::ids::FileId;
use adjutant_core::limits;
use adjutant_core::message::Part;
use adjutant_core::scope::Owner;
use adjutant_store::files::{self, NewFile};
use adjutant_store::store::Store;
use adjutant_store::tx::Tx;
use base64::Engine as _;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use sha2::{Digest, Sha256};

use super::{kind, name, routes, upload};
use crate::problem::Problem;

/// Padding may be left out, as some clients do.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// A file that was read and checked, and is not stored yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::http) struct Inline {
    name: String,
    media_type: &'static str,
    content: Vec<u8>,
}

impl Inline {
    /// Of base64. The name is what the client calls it, if it does; what it says of the type is not asked for, because
    /// the content alone says what a file is.
    pub(in crate::http) fn of_base64(name: Option<&str>, base64: &str) -> Result<Self, Problem> {
        if base64.len() / 4 * 3 > limits::FILE_BYTES + 3 {
            return Err(upload::too_large());
        }
        let content = BASE64
            .decode(base64)
            .map_err(|_| Problem::bad_request("invalid_base64", "the content of the file is no base64"))?;
        if content.is_empty() {
            return Err(routes::empty());
        }
        if content.len() > limits::FILE_BYTES {
            return Err(upload::too_large());
        }
        let media_type = kind::of(&content).ok_or_else(routes::unsupported)?;
        let name = match name {
            Some(name) => name::accept(name),
            None => name::of_kind(media_type).to_owned(),
        };
        Ok(Self { name, media_type, content })
    }

    /// Of a `data:` URL with base64; every other address is refused.
    pub(in crate::http) fn of_url(name: Option<&str>, url: &str) -> Result<Self, Problem> {
        let is_data = url.get(..5).is_some_and(|scheme| scheme.eq_ignore_ascii_case("data:"));
        let Some(rest) = url.get(5..).filter(|_| is_data) else { return Err(not_fetched()) };
        match rest.split_once(',') {
            Some((head, base64)) if is_base64(head) => Self::of_base64(name, base64),
            _ => Err(Problem::bad_request("invalid_base64", "a data URL holds its content as base64")),
        }
    }
}

/// Whether what stands before the comma of a `data:` URL ends with that word.
fn is_base64(head: &str) -> bool {
    head.rsplit_once(';').is_some_and(|(_, last)| last.trim().eq_ignore_ascii_case("base64"))
}

fn not_fetched() -> Problem {
    let detail = "nothing is fetched from addresses: send the content as base64, or upload it with POST /api/files";
    Problem::bad_request("url_not_fetched", detail)
}

/// Stores them all or none, and says how a message names them, in their order.
pub(in crate::http) async fn keep(store: &Store, owner: &Owner, brought: Vec<Inline>) -> Result<Vec<Part>, Problem> {
    if brought.is_empty() {
        return Ok(Vec::new());
    }
    if brought.len() > limits::INLINE_FILES {
        let detail = format!("a request brings at most {} files inside itself", limits::INLINE_FILES);
        return Err(Problem::bad_request("too_many_files", detail));
    }
    let kept = async |tx: &mut Tx| {
        let mut parts = Vec::with_capacity(brought.len());
        for Inline { name, media_type, content } in &brought {
            let sha256 = Sha256::digest(content);
            let new = NewFile { id: FileId::new(), name, media_type, sha256: &sha256, content };
            parts.push(Part::File(files::keep(tx, &new, limits::USER_FILE_BYTES).await?.part()));
        }
        Ok(parts)
    };
    store.scoped(owner, kept).await.map_err(routes::full)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PNG: &str = "iVBORw0KGgoAAAANSUhEUgAAAAE=";

    fn code(read: Result<Inline, Problem>) -> Result<(String, &'static str), &'static str> {
        read.map(|file| (file.name, file.media_type)).map_err(|problem| problem.code)
    }

    #[test]
    fn what_comes_inline_is_typed_by_its_content_and_named_by_it_where_nobody_does() {
        let png = |name: &str| Ok((name.to_owned(), "image/png"));
        assert_eq!(code(Inline::of_base64(None, PNG)), png("image.png"));
        assert_eq!(code(Inline::of_base64(Some("../a.pdf"), PNG)), png("a.pdf"));
        assert_eq!(code(Inline::of_base64(None, PNG.trim_end_matches('='))), png("image.png"));
        assert_eq!(code(Inline::of_url(None, &format!("data:application/pdf;base64,{PNG}"))), png("image.png"));
        assert_eq!(
            code(Inline::of_url(None, &format!("DATA:text/plain;charset=utf-8;BASE64,{PNG}"))),
            png("image.png")
        );
        assert_eq!(code(Inline::of_base64(None, "aGk=")), Ok(("document.txt".to_owned(), "text/plain")));
    }

    #[test]
    fn what_is_no_file_has_its_code() {
        assert_eq!(code(Inline::of_base64(None, "")), Err("file_empty"));
        assert_eq!(code(Inline::of_base64(None, "a b=")), Err("invalid_base64"));
        assert_eq!(code(Inline::of_base64(None, "f0VMRgIBAQA=")), Err("unsupported_file_type"));
        let long = "A".repeat((limits::FILE_BYTES / 3 + 1) * 4);
        assert_eq!(code(Inline::of_base64(None, &long)), Err("file_too_large"));
        for url in ["https://example.org/a.png", "file:///etc/passwd", "http://169.254.169.254/", "", "dat", "daté:,"]
        {
            assert_eq!(code(Inline::of_url(None, url)), Err("url_not_fetched"), "{url}");
        }
        for url in ["data:", "data:text/plain,hi", "data:;base64", "data:base64,aGk="] {
            assert_eq!(code(Inline::of_url(None, url)), Err("invalid_base64"), "{url}");
        }
    }
}
