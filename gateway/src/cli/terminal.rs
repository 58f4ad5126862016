//! Writing to the terminal. A reader that went away, such as `head`, is no error.

use std::io::{Write, stderr, stdout};

/// What was asked for: stdout.
pub(super) fn data(text: &str) {
    write_line(stdout().lock(), text);
}

/// What is said about it: stderr.
pub(super) fn say(text: &str) {
    write_line(stderr().lock(), text);
}

fn write_line(mut to: impl Write, text: &str) {
    // There is nobody left to tell when this fails.
    let _ = to.write_all(text.as_bytes()).and_then(|()| to.write_all(b"\n")).and_then(|()| to.flush());
}

/// Rows under a head, in columns as wide as they must be.
pub(super) fn table<const N: usize>(head: [&str; N], rows: &[[String; N]]) -> String {
    let mut widths = head.map(|cell| cell.chars().count());
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let line = |cells: &[String; N]| {
        let padded: Vec<String> = cells.iter().zip(widths).map(|(cell, width)| format!("{cell:width$}")).collect();
        padded.join("  ").trim_end().to_owned()
    };
    let mut lines = vec![line(&head.map(str::to_owned))];
    lines.extend(rows.iter().map(line));
    lines.join("\n")
}
