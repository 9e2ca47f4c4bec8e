//! Regular expressions of schemas, in the syntax of ECMA-262 as JSON Schema specifies (2020-12 core
//! §6.4). The regex engine runs in linear time.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use regex::{Regex, RegexBuilder};
use regex_syntax::ast::{self, ErrorKind};

/// Maximum size of a compiled pattern in bytes. `(a{1000}){1000}` would take a gigabyte.
const COMPILED_BYTES_MAX: usize = 1 << 20;
/// Maximum length of a pattern, in bytes. Longer patterns are not compiled.
const PATTERN_BYTES_MAX: usize = 64 * 1024;

/// Maximum number of compiled patterns that are kept for later compilations of a project.
const KEPT_MAX: usize = 100;

/// Compiled patterns by text. A language server compiles the same patterns after each key.
/// Compiling the patterns of stripe.yaml takes 3 ms.
static KEPT: Mutex<BTreeMap<String, Pattern>> = Mutex::new(BTreeMap::new());

/// Result of compiling a pattern.
#[derive(Clone, Debug)]
pub enum Pattern {
    /// The pattern is valid and can run.
    Runs(Regex),
    /// The pattern is valid, but cannot run in linear time. The string is the feature that prevents
    /// it.
    NotLinear(&'static str),
    /// The pattern, or its compiled form, exceeds the size limit.
    TooLarge,
    /// The text is not a valid regular expression. The string is the reason.
    Malformed(String),
}

/// Compiles a pattern, or returns the result of an earlier call.
#[must_use]
pub fn read(text: &str) -> Pattern {
    let kept = || KEPT.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(known) = kept().get(text) {
        return known.clone();
    }
    let pattern = compiled(text);
    let mut kept = kept();
    if kept.len() >= KEPT_MAX {
        kept.clear();
    }
    kept.insert(text.to_owned(), pattern.clone());
    pattern
}

fn compiled(text: &str) -> Pattern {
    if text.len() > PATTERN_BYTES_MAX {
        return Pattern::TooLarge;
    }
    let parsed = ast::parse::Parser::new().parse(text);
    let needs = match &parsed {
        Err(error) => match error.kind() {
            ErrorKind::UnsupportedLookAround => Some("look-around"),
            ErrorKind::UnsupportedBackreference => Some("a back-reference"),
            _ => None,
        },
        Ok(_) => None,
    };
    let valid = || jsonschema_regex::is_valid_ecma_regex(text);
    if let Some(needs) = needs
        && valid()
    {
        return Pattern::NotLinear(needs);
    }
    if let Ok(translated) = jsonschema_regex::to_rust_regex(text) {
        let built = RegexBuilder::new(&translated)
            .size_limit(COMPILED_BYTES_MAX)
            .build();
        match built {
            Ok(regex) => return Pattern::Runs(regex),
            Err(regex::Error::CompiledTooBig(_)) => return Pattern::TooLarge,
            Err(_) => {}
        }
    }
    match parsed {
        Err(error) if !valid() => Pattern::Malformed(error.kind().to_string()),
        Ok(_) if !valid() => Pattern::Malformed("not a regular expression of ECMA-262".into()),
        Ok(_) | Err(_) => Pattern::NotLinear("a feature of backtracking engines"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_are_classified() {
        let kind = |text: &str| match read(text) {
            Pattern::Runs(_) => "runs",
            Pattern::NotLinear(_) => "not linear",
            Pattern::TooLarge => "too large",
            Pattern::Malformed(_) => "malformed",
        };
        for (text, expected) in [
            ("^[a-z]+$", "runs"),
            (r"^\d{3}\/\w+$", "runs"),
            (r"^\cA[[]\u0041$", "runs"),
            ("^(?!a)b", "not linear"),
            (r"(a)\1", "not linear"),
            ("^[a-z+$", "malformed"),
            ("a(", "malformed"),
            ("*", "malformed"),
            ("((a{1000}){1000}){1000}", "too large"),
        ] {
            assert_eq!(kind(text), expected, "{text}");
        }
    }

    #[test]
    fn digit_class_matches_ascii_digits_only() {
        let matches = |pattern: &str, text: &str| match read(pattern) {
            Pattern::Runs(regex) => regex.is_match(text),
            other => panic!("{pattern}: {other:?}"),
        };
        assert!(matches(r"^\d$", "4"));
        assert!(!matches(r"^\d$", "\u{0664}"), "an Arabic digit is none");
        assert!(matches("a", "xay"), "patterns are not anchored");
    }
}
