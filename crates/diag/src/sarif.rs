//! Escaping of texts in SARIF 2.1.0.

/// Escapes a plain text message: brackets would be embedded links (§3.11.6), and braces
/// placeholders (§3.11.5).
#[must_use]
pub fn plain(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '[' | ']' | '\\' => out.extend(['\\', c]),
            '{' | '}' => out.extend([c, c]),
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_and_placeholders_are_escaped() {
        assert_eq!(plain(r"[a](b) {0} \"), r"\[a\](b) {{0}} \\");
    }
}
