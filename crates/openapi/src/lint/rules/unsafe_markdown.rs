//! Rule for Markdown text that contains script.

use std::sync::LazyLock;

use diag::{Diagnostic, Level, Lint, Sink};
use regex::Regex;

use crate::lint::Place;
use sources::v30;

/// Lint that this rule reports.
pub(super) static LINT: Lint = Lint {
    code: "GW0367",
    name: "unsafe-markdown",
    level: Level::Warn,
    summary: "a Markdown text that contains a script",
    explain: "Descriptions are Markdown, and documentation shows them as HTML: `<script>`, attributes such as \
`onclick=`, `javascript:` links and `eval(` would run in the reader's browser.",
    bad: v30!("paths: {}\ntags: [{name: a, description: '<script>alert(1)</script>'}]\n"),
    good: v30!("paths: {}\ntags: [{name: a, description: 'a *tag*'}]\n"),
};

pub(super) fn check(place: &Place<'_, '_>, sink: &mut Sink) {
    for key in ["description", "title", "summary"] {
        let Some(value) = place.node.get(key) else {
            continue;
        };
        let Some(found) = value.as_str().and_then(|text| SCRIPT.find(text)) else {
            continue;
        };
        let message = format!(
            "`{}` runs in a reader's browser",
            found.as_str().escape_debug()
        );
        sink.push(Diagnostic::new(&LINT, value.span(), message).help("remove it"));
    }
}

static SCRIPT: LazyLock<Regex> = LazyLock::new(|| {
    let pattern = r#"(?i)<script\b|\beval\(|<[a-z][^<>]*\son[a-z]+\s*=|(?:\]\(\s*|\b(?:href|src)\s*=\s*["']?\s*)javascript:"#;
    Regex::new(pattern).expect("the pattern is valid")
});
