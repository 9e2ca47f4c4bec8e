//! Escapes of GitHub's workflow commands, `::error file=…,line=…::message`.
//!
//! A command ends at the end of its line, a property at `,` or `:`, and `%` begins an escape. With
//! these escapes, quoted text can neither end a command nor start another one.
//! <https://docs.github.com/actions/reference/workflow-commands-for-github-actions>

use crate::text::printable;

/// Escapes the text after `::`.
#[must_use]
pub fn data(text: &str) -> String {
    let escaped = text
        .replace('%', "%25")
        .replace('\r', "%0D")
        .replace('\n', "%0A");
    printable(&escaped)
}

/// Escapes the value of a property.
#[must_use]
pub fn property(text: &str) -> String {
    data(text).replace(':', "%3A").replace(',', "%2C")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quoted_text_cannot_end_a_command() {
        assert_eq!(data("100%\r\n::error::x, y"), "100%25%0D%0A::error::x, y");
        assert_eq!(property("a,b:c%\nd"), "a%2Cb%3Ac%25%0Ad");
        assert_eq!(data("\u{1b}[31m"), "␛[31m");
    }
}
