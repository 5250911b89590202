//! Makes text from files and the network safe to display.
//!
//! File names, class names, tensor names and server responses can contain anything: escape sequences that set colours
//! or the terminal's title, line breaks that forge a second message, characters that reverse the text after them.
//! Everything that a person reads passes through here: the printer escapes whole messages, and the tables on standard
//! output escape each value. CSV and JSON keep their bytes, unless they are shown on a terminal.

use std::borrow::Cow;
use std::fmt::Write as _;

/// Escapes a value that is shown on one line. Control characters, line breaks and characters that change the text
/// direction become escapes such as `\n`, `\t` or `\u{1b}`.
pub fn line(text: &str) -> Cow<'_, str> {
    escape(text, |_| false)
}

/// Escapes a message, which may have several lines. All lines but the first are indented, so that no part of the
/// message looks like another message.
pub fn message(text: &str) -> Cow<'_, str> {
    let escaped = escape(text, |c| c == '\n');
    if escaped.contains('\n') {
        return Cow::Owned(escaped.trim_end_matches('\n').replace('\n', "\n  "));
    }
    escaped
}

/// Escapes a line of JSON for a terminal. The value stays the same: unsafe characters become `\uXXXX`.
pub(crate) fn json(text: &str) -> Cow<'_, str> {
    if !text.chars().any(is_unsafe) {
        return Cow::Borrowed(text);
    }
    let mut escaped = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        if is_unsafe(c) {
            for unit in c.encode_utf16(&mut [0; 2]) {
                // Writing to a string cannot fail.
                let _ = write!(escaped, "\\u{unit:04x}");
            }
        } else {
            escaped.push(c);
        }
    }
    Cow::Owned(escaped)
}

fn escape(text: &str, keep: impl Fn(char) -> bool) -> Cow<'_, str> {
    let replace = |c: char| is_unsafe(c) && !keep(c);
    if !text.chars().any(replace) {
        return Cow::Borrowed(text);
    }
    let mut escaped = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        match c {
            c if !replace(c) => escaped.push(c),
            '\n' | '\r' | '\t' => escaped.extend(c.escape_default()),
            _ => escaped.extend(c.escape_unicode()),
        }
    }
    Cow::Owned(escaped)
}

/// Returns whether a character acts on the terminal or on the text around it instead of being displayed.
fn is_unsafe(c: char) -> bool {
    c.is_control()
        || matches!(
            c,
            // Line and paragraph separators.
            '\u{2028}' | '\u{2029}'
            // Direction of text: marks, embeddings, overrides, isolates (CVE-2021-42574).
            | '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{206f}'
            // Invisible: zero-width space, word joiner and similar characters, annotations, byte order mark, tags.
            | '\u{200b}' | '\u{2060}'..='\u{2064}' | '\u{fff9}'..='\u{fffb}' | '\u{feff}'
            | '\u{e0000}'..='\u{e007f}'
        )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ordinary_text_of_any_script_stays() {
        for text in ["photo (1).jpg", "Zürich/猫 🐈\u{200d}⬛.png", "تفاح", "a\\b"] {
            assert_eq!(line(text), text);
            assert_eq!(message(text), text);
            assert_eq!(json(text), text);
        }
    }

    #[test]
    fn nothing_that_acts_on_a_terminal_remains() {
        let hostile = "\u{1b}[2J\u{1b}]0;title\u{7}\u{9b}31m\u{202e}gpj.\u{7f}\r\u{0}\u{2028}";
        for text in [line(hostile), message(hostile), json(hostile)] {
            assert!(!text.chars().any(is_unsafe), "{text}");
            assert!(text.contains("]0;title"), "{text}");
        }
        assert_eq!(line("a\u{1b}[31m\tb"), "a\\u{1b}[31m\\tb");
    }

    #[test]
    fn a_line_break_cannot_forge_a_second_message() {
        assert_eq!(line("a\nerror: b"), "a\\nerror: b");
        assert_eq!(message("a\nerror: b\n"), "a\n  error: b");
        assert_eq!(message("a\r\nb"), "a\\r\n  b");
    }

    #[test]
    fn escaped_json_has_the_same_value() {
        let value = "a\u{9b}b\u{202e}c\u{e0041}";
        let text = serde_json::to_string(value).unwrap();
        assert_ne!(json(&text), text);
        assert_eq!(serde_json::from_str::<String>(&json(&text)).unwrap(), value);
    }
}
