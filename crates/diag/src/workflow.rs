//! Commands in the log of a CI job: escapes of GitHub's workflow commands,
//! `::error file=…,line=…::message`, and text of documents that must not become a command.
//!
//! A command ends at the end of its line, a property at `,` or `:`, and `%` begins an escape. With
//! these escapes, quoted text can neither end a command nor start another one.
//! <https://docs.github.com/actions/reference/workflow-commands-for-github-actions>

use std::borrow::Cow;

use crate::text::printable;

/// Escapes the text after `::`.
#[must_use]
pub fn data(text: &str) -> String {
    let escaped = text
        .replace('%', "%25")
        .replace('\r', "%0D")
        .replace('\n', "%0A");
    without_hash_commands(&printable(&escaped), "\\u{23}").into_owned()
}

/// Escapes the value of a property.
#[must_use]
pub fn property(text: &str) -> String {
    data(text).replace(':', "%3A").replace(',', "%2C")
}

/// Escapes the commands of CI systems in a report for people. These are `::command::` at the
/// beginning of a line (GitHub, which ignores blanks before it), and the forms of
/// [`without_hash_commands`].
#[must_use]
pub fn without_commands(text: &str) -> Cow<'_, str> {
    let text = without_hash_commands(text, "\\u{23}");
    let begins_command = |line: &str| line.trim_start().starts_with("::");
    if !text.split(['\n', '\r']).any(begins_command) {
        return text;
    }
    let mut out = String::with_capacity(text.len() + 16);
    for line in text.split_inclusive(['\n', '\r']) {
        if begins_command(line) {
            let blanks = line.len() - line.trim_start().len();
            out.push_str(&line[..blanks]);
            out.push_str("\\u{3a}");
            out.push_str(&line[blanks + 1..]);
        } else {
            out.push_str(line);
        }
    }
    out.into()
}

/// Escapes CI commands such as `##[error]` in JSON. `::` commands need no escape: no line of JSON
/// begins with `::`.
#[must_use]
pub fn without_commands_in_json(text: &str) -> Cow<'_, str> {
    without_hash_commands(text, "\\u0023")
}

/// Escapes commands of the forms `##[command]` (GitHub and Azure), `##vso[command]` (Azure) and
/// `##teamcity[command]`. Unlike `::command::`, CI systems run these commands anywhere in a line.
/// `escaped` replaces the second `#`.
fn without_hash_commands<'t>(text: &'t str, escaped: &str) -> Cow<'t, str> {
    let mut out = String::new();
    let mut rest = text;
    while let Some(at) = rest.find("##") {
        let name = rest[at + 2..].trim_start_matches(|c: char| c.is_ascii_alphanumeric());
        let (before, after) = rest.split_at(at + 1);
        out.push_str(before);
        rest = after;
        if name.starts_with('[') {
            out.push_str(escaped);
            rest = &after[1..];
        }
    }
    match out.is_empty() {
        true => text.into(),
        false => (out + rest).into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_report_contains_a_command() {
        for (text, expected) in [
            ("a ##[error]b", "a #\\u{23}[error]b"),
            ("##vso[task.setvariable]", "#\\u{23}vso[task.setvariable]"),
            ("##teamcity[x]##[y]", "#\\u{23}teamcity[x]#\\u{23}[y]"),
            ("###[x]####[y]", "##\\u{23}[x]###\\u{23}[y]"),
            ("## [x]", "## [x]"),
            ("a\n \t::x::y\n", "a\n \t\\u{3a}:x::y\n"),
            ("::add-mask::x", "\\u{3a}:add-mask::x"),
            ("a\r::x::", "a\r\\u{3a}:x::"),
            ("a ::x::\n: :b", "a ::x::\n: :b"),
            ("## Heading\n#[x] ##", "## Heading\n#[x] ##"),
        ] {
            assert_eq!(without_commands(text), expected);
        }
        let json = r###"{"a": "##[error]"}"###;
        let escaped = without_commands_in_json(json);
        assert_eq!(escaped, r##"{"a": "#\u0023[error]"}"##);
    }

    #[test]
    fn quoted_text_cannot_end_a_command() {
        assert_eq!(data("100%\r\n::error::x, y"), "100%25%0D%0A::error::x, y");
        assert_eq!(property("a,b:c%\nd"), "a%2Cb%3Ac%25%0Ad");
        assert_eq!(data("\u{1b}[31m"), "␛[31m");
    }
}
