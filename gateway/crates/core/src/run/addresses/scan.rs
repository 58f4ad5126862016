//! Addresses in one text, in a form in which equal ones are equal.

use std::collections::BTreeSet;
use std::net::{Ipv4Addr, Ipv6Addr};

use url::{Host, Url};

/// Hosts, mail addresses and phone numbers that stand in a text.
pub(super) fn found_in(text: &str) -> BTreeSet<String> {
    let text = plain(text);
    let mut found = BTreeSet::new();
    for token in text.split(|c: char| c.is_whitespace() || "\"'`<>|{}^".contains(c)) {
        after_scheme(token, &mut found);
        for piece in token.split(|c: char| ",;()[]=&?#\\".contains(c)) {
            let piece = piece.trim_matches(|c: char| ".:!*~".contains(c));
            after_scheme(piece, &mut found);
            mail(piece, &mut found);
            bare_host(piece, &mut found);
        }
    }
    phones(&text, &mut found);
    found
}

/// Holds a scheme or a mail address, not just a word with a full stop in it.
pub(super) fn is_explicit(text: &str) -> bool {
    let text = plain(text);
    text.contains("://") || text.contains('@') || text.contains('+')
}

/// Without what only looks like something else: wide letters, other full stops, invisible characters.
pub(super) fn plain(text: &str) -> String {
    text.chars()
        .filter(|c| !is_invisible(*c))
        .map(|c| match c {
            '\u{ff01}'..='\u{ff5e}' => char::from_u32(c as u32 - 0xfee0).unwrap_or(c),
            '\u{3002}' | '\u{ff61}' | '\u{2024}' | '\u{fe52}' => '.',
            '\u{fe6b}' => '@',
            '\u{2044}' | '\u{2215}' => '/',
            '\u{a789}' | '\u{fe55}' => ':',
            _ => c,
        })
        .collect()
}

fn is_invisible(c: char) -> bool {
    matches!(c, '\u{ad}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}'
        | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{e0000}'..='\u{e007f}')
        || (c.is_control() && !c.is_whitespace())
}

/// What follows `//`, and what a URL parser takes for a host without it.
fn after_scheme(token: &str, found: &mut BTreeSet<String>) {
    for (index, _) in token.match_indices("//") {
        let rest = token[index..].trim_start_matches('/');
        let authority = rest.split(['/', '?', '#', '\\']).next().unwrap_or_default();
        for part in authority.split('@').filter(|part| !part.is_empty()) {
            host(part, found);
        }
    }
    let special = ["http:", "https:", "ftp:", "ws:", "wss:"].iter().any(|scheme| starts_with(token, scheme));
    if special && let Some(host) = Url::parse(token).ok().and_then(|url| url.host_str().map(str::to_owned)) {
        found.insert(host);
    }
}

fn starts_with(text: &str, scheme: &str) -> bool {
    text.get(..scheme.len()).is_some_and(|start| start.eq_ignore_ascii_case(scheme))
}

/// A host as a URL parser would understand it: numbers become addresses, letters those of DNS.
fn host(text: &str, found: &mut BTreeSet<String>) {
    let parsed = Url::parse(&format!("http://{text}")).ok().and_then(|url| url.host_str().map(str::to_owned));
    found.insert(parsed.unwrap_or_else(|| text.to_lowercase()));
}

fn mail(piece: &str, found: &mut BTreeSet<String>) {
    let Some((name, host)) = piece.rsplit_once('@') else { return };
    let name = name.rsplit([':', '/']).next().unwrap_or(name);
    let host = host.split([':', '/']).next().unwrap_or(host);
    if !name.is_empty() && !host.is_empty() {
        let host = Host::parse(host).map_or_else(|_| host.to_lowercase(), |host| host.to_string());
        found.insert(format!("{}@{host}", name.to_lowercase()));
    }
}

/// A name with dots, or a number of the Internet, without a scheme before it.
fn bare_host(piece: &str, found: &mut BTreeSet<String>) {
    if piece.contains('@') || piece.contains("//") {
        return;
    }
    if piece.matches(':').count() >= 2 && piece.parse::<Ipv6Addr>().is_ok() {
        found.insert(format!("[{piece}]"));
        return;
    }
    let (place, has_path) = match piece.split_once('/') {
        Some((place, _)) => (place, true),
        None => (piece, false),
    };
    let (name, has_port) = match place.split_once(':') {
        Some((name, port)) if !port.is_empty() && port.bytes().all(|c| c.is_ascii_digit()) => (name, true),
        Some(_) => return,
        None => (place, false),
    };
    if name.parse::<Ipv4Addr>().is_ok() {
        found.insert(name.to_owned());
        return;
    }
    let labels: Vec<&str> = name.split('.').collect();
    let Some(last) = labels.last().filter(|_| labels.len() > 1) else { return };
    let is_label =
        |label: &&str| !label.is_empty() && label.chars().all(|c| c.is_alphanumeric() || c == '-' || c == '_');
    let ends_as_name = last.chars().count() > 1 && last.chars().any(char::is_alphabetic);
    let is_file = !has_path && !has_port && labels[0] != "www" && FILES.contains(&last.to_lowercase().as_str());
    if labels.iter().all(is_label) && ends_as_name && !is_file {
        host(name, found);
    }
}

/// Endings of file names that are also top-level domains, or no domains at all.
const FILES: &[&str] = &[
    "txt", "md", "pdf", "csv", "json", "xml", "html", "htm", "css", "js", "ts", "rs", "py", "rb", "go", "java", "c",
    "h", "cpp", "sh", "toml", "yaml", "yml", "ini", "log", "doc", "docx", "xls", "xlsx", "ppt", "pptx", "odt", "ods",
    "png", "jpg", "jpeg", "gif", "svg", "webp", "heic", "mp3", "mp4", "wav", "mov", "zip", "gz", "tar", "ics", "eml",
    "sql", "db",
];

/// Numbers written as one dials them: with a plus or zeros before them, or in the groups of North America.
fn phones(text: &str, found: &mut BTreeSet<String>) {
    let dials = |c: char| c.is_ascii_digit() || "+ ()-./\u{a0}".contains(c);
    for run in text.split(|c: char| !dials(c)) {
        // A plus begins another number.
        let mut starts: Vec<usize> = run.match_indices('+').map(|(index, _)| index).collect();
        starts.insert(0, 0);
        for (position, start) in starts.iter().enumerate() {
            let end = starts.get(position + 1).copied().unwrap_or(run.len());
            let number = run[*start..end].trim_matches(|c: char| " -./\u{a0}".contains(c));
            let digits: String = number.chars().filter(char::is_ascii_digit).collect();
            let grouped = {
                let groups: Vec<usize> =
                    number.split(|c: char| !c.is_ascii_digit()).map(str::len).filter(|length| *length > 0).collect();
                groups == [3, 3, 4] || groups == [1, 3, 3, 4]
            };
            let is_phone = match digits.len() {
                length if number.starts_with('+') => (7..=15).contains(&length),
                length if digits.starts_with("00") => (9..=17).contains(&length),
                length if digits.starts_with('0') => (9..=14).contains(&length),
                _ => grouped,
            };
            if is_phone {
                let dialled = if number.starts_with('+') { digits } else { digits.trim_start_matches("00").to_owned() };
                found.insert(format!("tel:{dialled}"));
            }
        }
    }
}
