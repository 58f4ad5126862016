//! Names of files: as people read them, and as headers carry them.

use std::fmt::Write as _;

use adjutant_core::limits;

/// The last part of what a client calls a file, without characters that are none or that turn the text around.
pub fn accept(claimed: &str) -> String {
    let last = claimed.rsplit(['/', '\\']).next().unwrap_or_default();
    let kept: String = last.chars().filter(|c| !c.is_control() && !is_invisible(*c)).collect();
    let kept: String = kept.trim().chars().take(limits::FILE_NAME_CHARS).collect();
    if kept.is_empty() || kept == "." || kept == ".." { "file".to_owned() } else { kept }
}

/// What a file of that media type is called for which the client has no name.
pub(super) fn of_kind(media_type: &str) -> &'static str {
    match media_type {
        "image/png" => "image.png",
        "image/jpeg" => "image.jpg",
        "image/gif" => "image.gif",
        "image/webp" => "image.webp",
        "application/pdf" => "document.pdf",
        "application/json" => "document.json",
        "text/html" => "document.html",
        _ => "document.txt",
    }
}

/// Marks of direction and zero width, by which a name can look like another.
fn is_invisible(c: char) -> bool {
    matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
}

/// `Content-Disposition` with that name, in a form that every client reads and one that keeps all characters.
pub fn disposition(how: &str, name: &str) -> String {
    let plain: String = name
        .chars()
        .map(|c| if c.is_ascii_graphic() && !matches!(c, '"' | '\\' | '%') || c == ' ' { c } else { '_' })
        .collect();
    let mut header = format!("{how}; filename=\"{plain}\"; filename*=UTF-8''");
    for byte in name.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_') {
            header.push(char::from(byte));
        } else {
            let _ = write!(header, "%{byte:02X}");
        }
    }
    header
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_one_part_without_tricks() {
        for (claimed, name) in [
            ("notes.md", "notes.md"),
            ("../../etc/passwd", "passwd"),
            ("C:\\Users\\me\\a b.txt", "a b.txt"),
            ("gpj.\u{202e}exe\r\n\u{0}", "gpj.exe"),
            ("", "file"),
            ("..", "file"),
            ("a/", "file"),
        ] {
            assert_eq!(accept(claimed), name, "{claimed:?}");
        }
        assert_eq!(accept(&"ü".repeat(500)).chars().count(), limits::FILE_NAME_CHARS);
    }

    #[test]
    fn a_header_holds_any_name() {
        let header = disposition("attachment", "a \"b\";ü\u{1f408}.txt");
        assert_eq!(
            header,
            "attachment; filename=\"a _b_;__.txt\"; filename*=UTF-8''a%20%22b%22%3B%C3%BC%F0%9F%90%88.txt"
        );
    }
}
