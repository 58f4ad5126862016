//! What a person tells the terminal client itself: a line that begins with a slash. Pure.

use std::path::PathBuf;

/// All orders, for `/help`.
pub(super) const HELP: &[(&str, &str)] = &[
    ("/threads", "list the newest threads"),
    ("/open N", "go on in one of the list, or in the thread of that id"),
    ("/new", "begin another thread with the next message"),
    ("/rename TITLE", "call this thread so"),
    ("/retry [MODEL]", "answer the last message once more, perhaps with another model"),
    ("/edit TEXT", "replace the last message and have that answered"),
    ("/steer TEXT", "say something to the answer that is being written"),
    ("/search WORDS", "find messages in all threads"),
    ("/file PATH", "send this file with the next message"),
    ("/quit", "leave; so does Ctrl-C when nothing is going on"),
    ("//TEXT", "a message that begins with a slash"),
];

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Order {
    Help,
    Threads,
    Open(String),
    New,
    Rename(String),
    Retry(Option<String>),
    Edit(String),
    Steer(String),
    Search(String),
    File(PathBuf),
    Quit,
    /// No order at all: a message.
    Say(String),
}

impl Order {
    /// What cannot be an order is refused with a sentence, so that a typing mistake is not sent to the model.
    pub(super) fn parse(typed: &str) -> Result<Self, String> {
        let Some(order) = typed.strip_prefix('/') else { return Ok(Self::Say(typed.to_owned())) };
        if order.starts_with('/') {
            return Ok(Self::Say(order.to_owned()));
        }
        let (name, rest) = order.split_once(char::is_whitespace).unwrap_or((order, ""));
        let rest = rest.trim();
        let needed = |what: &str| match rest {
            "" => Err(format!("/{name} wants {what}")),
            rest => Ok(rest.to_owned()),
        };
        Ok(match name {
            "help" | "?" => Self::Help,
            "threads" | "list" => Self::Threads,
            "open" => Self::Open(needed("a number of /threads, or the id of a thread")?),
            "new" => Self::New,
            "rename" => Self::Rename(needed("a title")?),
            "retry" => Self::Retry(Some(rest.to_owned()).filter(|model| !model.is_empty())),
            "edit" => Self::Edit(needed("the text that replaces the last message")?),
            "steer" => Self::Steer(needed("what to say")?),
            "search" => Self::Search(needed("words to look for")?),
            "file" => Self::File(needed("a path")?.into()),
            "quit" | "exit" => Self::Quit,
            _ => return Err(format!("there is no /{name}; /help lists what there is, and // begins a message")),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_an_order_or_a_message_and_a_mistake_is_neither() {
        let order = |typed: &str| Order::parse(typed);
        assert_eq!(order("hello / there"), Ok(Order::Say("hello / there".to_owned())));
        assert_eq!(order("//etc is a folder"), Ok(Order::Say("/etc is a folder".to_owned())));
        assert_eq!(order("/open 3"), Ok(Order::Open("3".to_owned())));
        assert_eq!(order("/retry"), Ok(Order::Retry(None)));
        assert_eq!(order("/retry  a/b "), Ok(Order::Retry(Some("a/b".to_owned()))));
        assert_eq!(order("/file my notes.txt"), Ok(Order::File("my notes.txt".into())));
        assert!(order("/rename ").unwrap_err().contains("a title"));
        assert!(order("/quite").unwrap_err().contains("/help"));
        for (name, _) in HELP {
            let typed = name.replace(['[', ']'], "");
            assert!(order(&typed).is_ok(), "{typed}");
        }
    }
}
