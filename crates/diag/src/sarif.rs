//! SARIF 2.1.0 for code scanning services (OASIS,
//! <https://docs.oasis-open.org/sarif/sarif/v2.1.0/sarif-v2.1.0.html>): the log with one run, levels
//! and the escaping of texts.

use serde_json::{Value, json};

use crate::Level;

/// Renders a log with one run of the tool `name`. Regions count Unicode code points (`columnKind`,
/// §3.14.17). Results refer to `rules` by index (§3.27.6).
#[must_use]
pub fn log(name: &str, rules: &[Value], results: &[Value]) -> String {
    let log = json!({
        "$schema": "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json",
        "version": "2.1.0",
        "runs": [{
            "tool": {"driver": {
                "name": name,
                "version": env!("CARGO_PKG_VERSION"),
                "semanticVersion": env!("CARGO_PKG_VERSION"),
                "rules": rules,
            }},
            "columnKind": "unicodeCodePoints",
            "results": results,
        }],
    });
    crate::json::pretty(&log)
}

/// Level of SARIF for a level of findings.
#[must_use]
pub fn level(level: Level) -> &'static str {
    match level {
        Level::Error => "error",
        Level::Warn => "warning",
        Level::Info => "note",
    }
}

/// Escapes a plain text message. Without escapes, brackets would be embedded links (§3.11.6), and
/// braces would be placeholders (§3.11.5).
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
