//! A foreign text, shortened and escaped so that it can stand in an error message.

/// The most characters of a foreign text that a message repeats.
const MAX_CHARS: usize = 40;

/// Quotes at most [`MAX_CHARS`] characters of `bytes`, with control characters escaped.
pub(crate) fn excerpt(bytes: &[u8]) -> String {
    // Four bytes are the longest character: the rest of a long text need not be looked at.
    let head = &bytes[..bytes.len().min(4 * (MAX_CHARS + 1))];
    let text = String::from_utf8_lossy(head);
    let short: String = text.chars().take(MAX_CHARS).collect();
    let ellipsis = if short.len() < text.len() { "..." } else { "" };
    format!("\"{}{ellipsis}\"", short.escape_debug())
}

#[cfg(test)]
mod tests {
    use super::excerpt;

    #[test]
    fn a_foreign_text_is_quoted_escaped_and_cut() {
        assert_eq!(excerpt(b"Conv"), "\"Conv\"");
        assert_eq!(excerpt(b"a\nb\x1b[31m"), "\"a\\nb\\u{1b}[31m\"");
        assert_eq!(excerpt(&[b'x'; 1000]), format!("\"{}...\"", "x".repeat(40)));
        assert!(excerpt(&[0xff; 3]).contains('\u{fffd}'));
    }
}
