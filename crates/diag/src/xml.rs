//! Escaping of texts in XML 1.0.

/// Escapes an attribute value or element text. Line ends become character references. Invisible
/// characters, such as those that change the direction of text, are written as `\u{…}`. Characters
/// that XML 1.0 forbids even in escaped form are removed.
#[must_use]
pub fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&apos;"),
            '\t' => out.push_str("&#9;"),
            '\n' => out.push_str("&#10;"),
            '\r' => out.push_str("&#13;"),
            '\0'..='\u{1f}' | '\u{7f}'..='\u{9f}' | '\u{fffe}' | '\u{ffff}' => {}
            c if crate::text::is_invisible(c) => out.extend(c.escape_unicode()),
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn markup_is_escaped_and_controls_are_removed() {
        assert_eq!(
            escaped("<a b=\"c\">&'\u{0}\u{1b}\u{85}\u{fffe}\n]]>"),
            "&lt;a b=&quot;c&quot;&gt;&amp;&apos;&#10;]]&gt;"
        );
        assert_eq!(escaped("漢字 é 🦀"), "漢字 é 🦀");
        assert_eq!(escaped("a\u{202e}b"), "a\\u{202e}b");
    }
}
