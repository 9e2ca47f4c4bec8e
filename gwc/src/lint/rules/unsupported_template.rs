//! A path template of a kind that OpenAPI does not have.

use diag::{Diagnostic, Level, Lint, Sink};

use crate::lint::sample::v30;
use crate::lint::template::{self, Part};
use crate::lint::{Place, within};

/// The finding.
pub(super) static LINT: Lint = Lint {
    code: "GW0324",
    name: "unsupported-template",
    level: Level::Error,
    summary: "a path template of a kind that OpenAPI does not have",
    explain: "OpenAPI's templates have plain parameters, each for a part of one segment. `{+path}`, `{path*}` and `:id` come from other \
frameworks, and two parameters with nothing between them cannot be told apart. They are never taken for literal text. A \
path that shall cover everything below it has `x-gateway: {match: prefix}`.",
    bad: v30!("paths:\n  /a/:id: {}\n"),
    good: v30!("paths:\n  /a/{id}: {}\n"),
};

pub(super) fn check(key: &str, place: &Place<'_, '_>, sink: &mut Sink) {
    let mut say = |bytes: std::ops::Range<usize>, message: &str, help: &str| {
        let span = within(place.resolver.files(), place.at, key, bytes);
        sink.push(Diagnostic::new(&LINT, span, message).help(help));
    };
    const PREFIX: &str = "for everything below a path write `x-gateway: {match: prefix}` at it";
    let mut behind_parameter = false;
    for part in template::parts(key) {
        let is_parameter = matches!(part, Part::Parameter { .. });
        match part {
            Part::Parameter { bytes, .. } if behind_parameter => say(
                bytes,
                "two parameters with nothing between them cannot be told apart",
                "put a literal between them, or make them one",
            ),
            Part::Parameter { name, bytes }
                if name.starts_with(['+', '#', '.', '/', ';', '?', '&']) =>
            {
                say(bytes, "OpenAPI has no such operators in templates", PREFIX);
            }
            Part::Parameter { name, bytes } if name.ends_with('*') => {
                say(
                    bytes,
                    "OpenAPI has no parameters of several segments",
                    PREFIX,
                );
            }
            Part::Literal { text, start } => {
                for (colon, name) in colon_segments(text, key.as_bytes(), start) {
                    let help = format!("write `{{{name}}}`");
                    say(
                        start + colon..start + colon + 1 + name.len(),
                        "OpenAPI writes parameters in braces",
                        &help,
                    );
                }
            }
            Part::Parameter { .. } | Part::Unclosed { .. } | Part::Unopened { .. } => {}
        }
        behind_parameter = is_parameter;
    }
}

/// Segments of a literal that look like `:id`, each with the colon's offset.
fn colon_segments<'t>(text: &'t str, key: &'t [u8], start: usize) -> Vec<(usize, &'t str)> {
    let mut found = Vec::new();
    for (colon, _) in text.match_indices(':') {
        let opens = start + colon > 0 && key[start + colon - 1] == b'/';
        let name = &text[colon + 1..];
        let name = name.split('/').next().unwrap_or_default();
        let is_name = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
            && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
        if opens && is_name {
            found.push((colon, name));
        }
    }
    found
}
