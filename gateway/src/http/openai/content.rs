//! What a message of a request holds. One of the user may bring files: images as `data:` URLs, files as base64, or the
//! id of one that is stored. Nothing is fetched from addresses.

use adjutant_core::message::without_nul;

use super::failure::Failure;
use super::request::{Content, ContentPart, FileBody, ImageUrl};
use crate::http::files::inline::Inline;
use crate::http::files::pieces::Piece;

/// What somebody else than the user said, which is text.
pub(super) fn text_of(content: Content, path: &str) -> Result<String, Failure> {
    let parts = match content {
        Content::Text(text) => return Ok(without_nul(text)),
        Content::Parts(parts) => parts,
    };
    let mut whole = String::new();
    for (at, part) in parts.into_iter().enumerate() {
        let path = format!("{path}[{at}]");
        match part.kind.as_str() {
            "text" | "refusal" => whole.push_str(&text(part, &path)?),
            "image_url" | "file" => {
                return Err(Failure::unsupported(path + ".type", "only messages of the user bring files: send text"));
            }
            _ => return Err(unsupported(&part.kind, path)),
        }
    }
    Ok(without_nul(whole))
}

/// What a message of the user is made of. Texts that follow each other are one.
pub(super) fn pieces_of(content: Content, path: &str) -> Result<Vec<Piece>, Failure> {
    let parts = match content {
        Content::Text(text) => return Ok(vec![Piece::Text(text)]),
        Content::Parts(parts) => parts,
    };
    let mut pieces: Vec<Piece> = Vec::with_capacity(parts.len());
    for (at, part) in parts.into_iter().enumerate() {
        match (pieces.last_mut(), piece(part, format!("{path}[{at}]"))?) {
            (Some(Piece::Text(before)), Piece::Text(more)) => before.push_str(&more),
            (_, piece) => pieces.push(piece),
        }
    }
    Ok(pieces)
}

fn piece(part: ContentPart, path: String) -> Result<Piece, Failure> {
    match part.kind.as_str() {
        "text" | "refusal" => text(part, &path).map(Piece::Text),
        "image_url" => {
            let Some(ImageUrl { url }) = part.image_url else {
                return Err(Failure::invalid(path + ".image_url", "the part has no image_url with a url"));
            };
            let image = Inline::of_url(None, &url);
            image.map(Piece::Brought).map_err(|refused| Failure::from(refused).at(path + ".image_url.url"))
        }
        "file" => match part.file {
            Some(file) => of_file(file, &(path + ".file")),
            None => Err(Failure::invalid(path + ".file", "the part has no file")),
        },
        _ => Err(unsupported(&part.kind, path)),
    }
}

fn of_file(file: FileBody, path: &str) -> Result<Piece, Failure> {
    let FileBody { file_data, file_id, filename } = file;
    let name = filename.as_deref();
    match (file_data, file_id) {
        (Some(data), None) => {
            // OpenAI wants a `data:` URL; some clients send what stands behind its comma alone.
            let read = if data.contains(':') { Inline::of_url(name, &data) } else { Inline::of_base64(name, &data) };
            read.map(Piece::Brought).map_err(|refused| Failure::from(refused).at(format!("{path}.file_data")))
        }
        (None, Some(id)) => {
            let wrong =
                |_| Failure::invalid(format!("{path}.file_id"), "file_id is no id of a file of POST /api/files");
            id.parse().map(Piece::Stored).map_err(wrong)
        }
        _ => Err(Failure::invalid(path, "a file has either file_data or file_id")),
    }
}

fn text(part: ContentPart, path: &str) -> Result<String, Failure> {
    let given = if part.kind == "refusal" { part.refusal } else { part.text };
    given.ok_or_else(|| Failure::invalid(format!("{path}.{}", part.kind), "the part has no text"))
}

fn unsupported(kind: &str, path: String) -> Failure {
    if kind == "input_audio" {
        return Failure::unsupported(path + ".type", "sounds in messages are not supported: send text");
    }
    Failure::invalid(path + ".type", "a part of a message is of the type text, image_url or file")
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::http::openai::request;

    const PNG: &str = "iVBORw0KGgoAAAANSUhEUgAAAAE=";

    fn read(role: &str, parts: &Value) -> Result<Vec<Piece>, (String, String)> {
        let body = json!({"model": "cos", "messages": [{"role": role, "content": parts}]}).to_string();
        let content = request::parse(body.as_bytes()).unwrap().messages.0.remove(0).content.unwrap();
        let read = match role {
            "user" => pieces_of(content, "content"),
            _ => text_of(content, "content").map(|text| vec![Piece::Text(text)]),
        };
        read.map_err(|failure| {
            let error: Value = serde_json::from_str(&failure.body()).unwrap();
            let word = |field: &str| error["error"][field].as_str().unwrap().to_owned();
            (word("param"), word("code"))
        })
    }

    fn image(url: &str) -> Value {
        json!({"type": "image_url", "image_url": {"url": url, "detail": "high"}})
    }

    #[test]
    fn images_and_files_stand_in_their_place_among_the_text() {
        let url = format!("data:image/png;base64,{PNG}");
        let id = adjutant_core::ids::FileId::new();
        let parts = json!([
            {"type": "text", "text": "one "},
            {"type": "text", "text": "two"},
            image(&url),
            {"type": "file", "file": {"file_data": url, "filename": "cat.png"}},
            {"type": "file", "file": {"file_data": PNG}},
            {"type": "file", "file": {"file_id": id}},
            {"type": "text", "text": "three"},
        ]);
        let inline = |name: Option<&str>| Piece::Brought(Inline::of_base64(name, PNG).unwrap());
        let text = |text: &str| Piece::Text(text.to_owned());
        let wanted =
            [text("one two"), inline(None), inline(Some("cat.png")), inline(None), Piece::Stored(id), text("three")];
        assert_eq!(read("user", &parts).unwrap(), wanted);
    }

    #[test]
    fn what_is_no_file_is_named_by_its_place_and_code() {
        let file = |file: Value| json!({"type": "file", "file": file});
        for (part, param, code) in [
            (image("https://example.org/a.png"), "content[0].image_url.url", "url_not_fetched"),
            (image("data:image/png;base64,#"), "content[0].image_url.url", "invalid_base64"),
            (image("data:image/png;base64,f0VMRgIBAQA="), "content[0].image_url.url", "unsupported_file_type"),
            (json!({"type": "image_url"}), "content[0].image_url", "invalid_value"),
            (json!({"type": "file"}), "content[0].file", "invalid_value"),
            (file(json!({})), "content[0].file", "invalid_value"),
            (file(json!({"file_id": "a", "file_data": PNG})), "content[0].file", "invalid_value"),
            (file(json!({"file_id": "file-abc"})), "content[0].file.file_id", "invalid_value"),
            (file(json!({"file_data": ""})), "content[0].file.file_data", "file_empty"),
            (file(json!({"file_data": "http://10.0.0.1/a"})), "content[0].file.file_data", "url_not_fetched"),
            (json!({"type": "input_audio"}), "content[0].type", "unsupported_value"),
        ] {
            let refused = read("user", &json!([part])).unwrap_err();
            assert_eq!(refused, (param.to_owned(), code.to_owned()), "{part}");
        }
        let refused = read("assistant", &json!([image("data:image/png;base64,")])).unwrap_err();
        assert_eq!(refused, ("content[0].type".to_owned(), "unsupported_value".to_owned()));
    }
}
