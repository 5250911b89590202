//! Shortens text from a file for use in messages.
//!
//! A name in a file can be as long as the file. A message that quoted it whole would be as long, and one that
//! quoted several names could be longer, so every quotation passes through this module.

use std::fmt::{Display, Write};

/// Maximum number of characters that a message quotes from a file.
const MAX_QUOTED: usize = 200;

/// Writes up to a limited number of characters, and fails if there are more.
struct Limited {
    text: String,
    room: usize,
}

impl Write for Limited {
    fn write_str(&mut self, part: &str) -> std::fmt::Result {
        for character in part.chars() {
            self.room = self.room.checked_sub(1).ok_or(std::fmt::Error)?;
            self.text.push(character);
        }
        Ok(())
    }
}

/// Returns the first `limit` characters, followed by an ellipsis if there are more.
fn shortened(value: &(impl Display + ?Sized), limit: usize) -> String {
    let mut out = Limited {
        text: String::new(),
        room: limit,
    };
    if write!(out, "{value}").is_err() {
        out.text.push('…');
    }
    out.text
}

/// Quotes at most 200 characters of a text, with an ellipsis if it has more.
pub(crate) fn quote(value: &(impl Display + ?Sized)) -> String {
    shortened(value, MAX_QUOTED)
}

/// Quotes at most 200 characters of bytes that may not be text.
pub(crate) fn quote_bytes(bytes: &[u8]) -> String {
    // A character has at most four bytes.
    let start = &bytes[..bytes.len().min(4 * (MAX_QUOTED + 1))];
    quote(&String::from_utf8_lossy(start))
}

/// Returns the names in backquotes, separated by commas: as many as fit into 200 characters, then the number
/// of remaining names. Control characters are kept, so the code that prints the list must escape them.
///
/// Public for the other crates of this workspace.
pub fn quote_list<S: AsRef<str>>(names: &[S]) -> String {
    let mut list = String::new();
    let mut room = MAX_QUOTED;
    let mut shown = 0;
    for name in names.iter().map(AsRef::as_ref) {
        let name = shortened(name, room.min(MAX_QUOTED / 2));
        let len = name.chars().count();
        if shown > 0 && len >= room {
            break;
        }
        room = room.saturating_sub(len);
        let comma = if shown > 0 { ", " } else { "" };
        list.push_str(comma);
        list.push('`');
        list.push_str(&name);
        list.push('`');
        shown += 1;
    }
    match names.len() - shown {
        0 => list,
        more => format!("{list} and {more} more"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quotation_has_at_most_200_characters() {
        assert_eq!(quote("short"), "short");
        let long = "é".repeat(1000);
        assert_eq!(quote(&long), format!("{}…", "é".repeat(200)));
        assert_eq!(quote_bytes(&[0xff; 5000]).chars().count(), 201);
    }

    #[test]
    fn a_list_ends_where_its_room_does() {
        assert_eq!(quote_list(&["a", "b"]), "`a`, `b`");
        let many = vec!["parameter".repeat(3); 40];
        let list = quote_list(&many);
        assert!(list.ends_with("and 33 more"), "{list}");
        let long = vec!["x".repeat(100_000); 3];
        assert!(quote_list(&long).chars().count() < 250);
    }
}
