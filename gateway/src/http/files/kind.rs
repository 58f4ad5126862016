//! What a file is, by its content alone: what the client or the name claims is never believed.

/// The media type of a file that is taken: an image that browsers and models know, a PDF, or text. `None`: anything else.
pub fn of(content: &[u8]) -> Option<&'static str> {
    let found = infer::get(content).map(|found| found.mime_type());
    if let Some(found @ ("image/png" | "image/jpeg" | "image/gif" | "image/webp" | "application/pdf")) = found {
        return Some(found);
    }
    let text = str::from_utf8(content).ok()?;
    // Control characters that no text has tell a binary format that happens to be UTF-8.
    if text.chars().any(|c| c.is_control() && !matches!(c, '\n' | '\r' | '\t' | '\u{c}' | '\u{1b}')) {
        return None;
    }
    Some(match found {
        Some("text/html") => "text/html",
        _ if is_json(text) => "application/json",
        _ => "text/plain",
    })
}

fn is_json(text: &str) -> bool {
    let text = text.trim_start();
    (text.starts_with('{') || text.starts_with('[')) && serde_json::from_str::<serde::de::IgnoredAny>(text).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_content_says_what_a_file_is() {
        let table: [(&[u8], Option<&str>); 12] = [
            (b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", Some("image/png")),
            (b"\xff\xd8\xff\xe0\0\x10JFIF", Some("image/jpeg")),
            (b"GIF89a\x01\0\x01\0", Some("image/gif")),
            (b"RIFF\x24\0\0\0WEBPVP8 ", Some("image/webp")),
            (b"%PDF-1.7\n", Some("application/pdf")),
            (b"plain, with umlauts: \xc3\xa4", Some("text/plain")),
            (b"BMW is no bitmap", Some("text/plain")),
            (b"<!DOCTYPE html><p>", Some("text/html")),
            (b" {\"a\": [1]}", Some("application/json")),
            (b"", Some("text/plain")),
            (b"PK\x03\x04\x14\0\x06\0", None),
            (b"\x7fELF\x02\x01\x01\0", None),
        ];
        for (content, kind) in table {
            assert_eq!(of(content), kind, "{content:?}");
        }
        assert_eq!(of(b"nul \0 in text"), None);
        assert_eq!(of(b"\xff\xfe no utf-8"), None);
        assert_eq!(of(b"<svg xmlns='x' onload='alert(1)'/>"), Some("text/plain"), "a drawing that could run is text");
    }
}
