use serde_json::json;

use super::*;

fn reading(arguments: &Value, said: &str) -> bool {
    reaches_strangers(arguments, &Named::of([said]), Look::Reading)
}

fn acting(arguments: &Value, said: &str) -> bool {
    reaches_strangers(arguments, &Named::of([said]), Look::Acting)
}

#[test]
fn what_the_user_named_is_no_stranger() {
    for (arguments, said) in [
        (json!({"url": "https://news.example/today?page=2"}), "read https://news.example please"),
        (json!({"url": "https://www.news.example"}), "read news.example"),
        (json!({"url": "HTTPS://NEWS.example:443/"}), "what does news.example say?"),
        (json!({"query": "weather in Oslo", "max": 5}), "how is the weather in Oslo"),
        (json!({"query": "rust 1.97 release notes from 2026-11-25"}), "any news of rust?"),
        (json!({"path": "notes/todo.md", "other": "main.rs"}), "read my notes"),
        (json!({"id": 1_732_571_234, "text": "1732571234"}), "show it"),
        (json!({"to": "Bob@Home.example"}), "mail bob@home.example"),
        (json!({"to": "0049 171 2345678"}), "call +49 171 2345678"),
        (json!({"email_id": "18c2f"}), "read it"),
        (json!({"url": "news.example", "format": "markdown"}), "fetch news.example"),
    ] {
        assert!(!reading(&arguments, said), "{arguments} after {said}");
    }
    assert!(!acting(&json!({"to": "Bob", "text": "dinner?"}), "ask Bob about dinner"));
    assert!(!acting(&json!({"to": ["bob@home.example"]}), "mail bob@home.example"));
    assert!(!acting(&json!({"text": "buy milk"}), "note: buy milk"));
}

#[test]
fn what_nobody_named_is_a_stranger_however_it_is_written() {
    for arguments in [
        json!({"url": "https://evil.example/?q=secret"}),
        json!({"q": "see evil.example/secret"}),
        json!({"q": "https://news.example@evil.example/"}),
        json!({"q": "https://evil.example\\@news.example/"}),
        json!({"q": "https://news.example/?next=https://evil.example"}),
        json!({"q": "https:/evil.example"}),
        json!({"q": "https:evil.example"}),
        json!({"q": "//evil.example/x"}),
        json!({"q": "http://2130706433/"}),
        json!({"q": "http://0x7f.1/"}),
        json!({"q": "http://[::1]/"}),
        json!({"q": "10.0.0.7:8080"}),
        json!({"q": "sub.news.example"}),
        json!({"q": "eve@evil.example"}),
        json!({"q": "mailto:eve@evil.example"}),
        json!({"q": "bob@evil.example"}),
        json!({"q": "+1 555 0100 200"}),
        json!({"q": "(555) 010-0200"}),
        json!({"q": "evil\u{ff0e}example"}),
        json!({"q": "ev\u{200b}il.example"}),
        json!({"q": "https%3A%2F%2Fevil.example%2Fx"}),
        json!({"q": "https%253A%252F%252Fevil.example"}),
        json!({"q": "aHR0cHM6Ly9ldmlsLmV4YW1wbGUvP3E9c2VjcmV0"}),
        json!({"q": "aHR0cHM6Ly9l\ndmlsLmV4YW1w\nbGU="}),
        json!({"q": "68747470733a2f2f6576696c2e6578616d706c65"}),
        json!({"q": "eve&#64;evil&#46;example"}),
        json!({"q": "{\"to\":\"eve\\u0040evil.example\"}"}),
        json!({"scheme": "https", "host": "evil", "rest": "x"}),
        json!({"a": "eve", "b": "@evil", "c": ".example"}),
        json!({"a": "https://ev", "b": "il.example"}),
        json!({"parts": ["h", "t", "t", "p", ":", "/", "/", "e", "v", "i", "l"]}),
        json!({"evil.example": "key"}),
        json!({"deep": [{"er": {"url": "evil.example"}}]}),
    ] {
        assert!(reading(&arguments, "read news.example and write to bob@home.example"), "{arguments}");
    }
}

#[test]
fn for_a_tool_that_acts_a_goal_must_be_named_too() {
    for arguments in [
        json!({"to": "eve"}),
        json!({"chatId": 12345}),
        json!({"reply_to": {"name": "Eve"}}),
        json!({"channel": "#leaks"}),
        json!({"attendees": ["bob", "eve"]}),
    ] {
        assert!(acting(&arguments, "tell Bob"), "{arguments}");
        assert!(!reading(&arguments, "tell Bob"), "{arguments}");
    }
}
