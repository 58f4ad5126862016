//! What a message of a person is made of at the doors whose clients send whole histories: text, files that come along,
//! and files that are stored already. What comes along is stored when its message is new, once however often it comes.

use adjutant_core::ids::FileId;
use adjutant_core::message::{FilePart, Part};
use adjutant_core::scope::Owner;
use adjutant_store::store::Store;

use super::inline::{self, Inline};
use crate::problem::Problem;

/// One piece of a message, in its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::http) enum Piece {
    Text(String),
    Brought(Inline),
    Stored(FileId),
}

impl Piece {
    pub(in crate::http) fn text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            Self::Brought(_) | Self::Stored(_) => None,
        }
    }
}

/// The parts of these messages, with what they bring stored: all of it or nothing.
pub(in crate::http) async fn store(
    store: &Store,
    owner: &Owner,
    messages: Vec<Vec<Piece>>,
) -> Result<Vec<Vec<Part>>, Problem> {
    let (mut files, mut places) = (Vec::new(), Vec::new());
    let mut made = Vec::with_capacity(messages.len());
    for (message, pieces) in messages.into_iter().enumerate() {
        let parts = pieces.into_iter().enumerate().map(|(at, piece)| match piece {
            Piece::Text(text) => Part::text(text),
            Piece::Stored(id) => Part::File(FilePart::named(id)),
            Piece::Brought(file) => {
                files.push(file);
                places.push((message, at));
                // Holds the place until the file has its id.
                Part::File(FilePart::named(FileId::new()))
            }
        });
        made.push(parts.collect::<Vec<Part>>());
    }
    let kept = inline::keep(store, owner, files).await?;
    for ((message, at), part) in places.into_iter().zip(kept) {
        *made.get_mut(message).and_then(|parts| parts.get_mut(at)).ok_or_else(Problem::internal)? = part;
    }
    Ok(made)
}
