//! Unescapes the strings of protocol 0, which are written like Python literals.

/// Returns the text of a quoted, escaped Python 2 string literal (opcode `S`).
pub(super) fn quoted(raw: &[u8]) -> Option<String> {
    let raw = raw.trim_ascii();
    let (&quote, rest) = raw.split_first()?;
    let (&last, inner) = rest.split_last()?;
    if quote != last || !matches!(quote, b'\'' | b'"') {
        return None;
    }
    Some(unescape(inner, true))
}

/// Returns the text of a raw-unicode-escape string (opcode `V`), where only `\u` and `\U` are special.
pub(super) fn raw_unicode(raw: &[u8]) -> String {
    unescape(raw, false)
}

/// Returns the maximum number of bytes after decoding: each byte is a character, and those beyond ASCII take
/// two bytes.
pub(super) fn decoded_len(raw: &[u8]) -> usize {
    raw.len() + raw.iter().filter(|byte| !byte.is_ascii()).count()
}

fn unescape(raw: &[u8], all: bool) -> String {
    let mut text = String::with_capacity(decoded_len(raw));
    let mut rest = raw;
    while let Some((&byte, tail)) = rest.split_first() {
        rest = tail;
        if byte != b'\\' {
            text.push(char::from(byte));
            continue;
        }
        let Some((&kind, tail)) = rest.split_first() else {
            text.push('\\');
            break;
        };
        let digits = match kind {
            b'u' => 4,
            b'U' => 8,
            b'x' if all => 2,
            _ => 0,
        };
        let decoded = tail
            .get(..digits)
            .filter(|_| digits > 0)
            .and_then(|hex| std::str::from_utf8(hex).ok())
            .and_then(|hex| u32::from_str_radix(hex, 16).ok())
            .and_then(char::from_u32);
        if let Some(character) = decoded {
            text.push(character);
            rest = &tail[digits..];
            continue;
        }
        let simple = match kind {
            b'n' => '\n',
            b't' => '\t',
            b'r' => '\r',
            b'\\' | b'\'' | b'"' => char::from(kind),
            _ => '\0',
        };
        if all && simple != '\0' {
            text.push(simple);
            rest = tail;
        } else {
            text.push('\\');
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quoted_string_is_unescaped() {
        assert_eq!(quoted(br"'a\n\x41\\'").as_deref(), Some("a\nA\\"));
        assert_eq!(quoted(b"'open"), None);
        assert_eq!(quoted(b"'"), None);
    }

    #[test]
    fn a_raw_unicode_string_keeps_other_backslashes() {
        assert_eq!(raw_unicode(br"\u00e9\n"), "\u{e9}\\n");
    }
}
