//! Rule for a path template in the syntax of another framework, such as `:id` or `*`.

use std::ops::Range;

use diag::{Diagnostic, Level, Lint, Sink};

use crate::lint::template::{self, Part};
use crate::lint::{Place, within};
use sources::v30;

/// Lint that this rule reports.
pub(super) static LINT: Lint = Lint {
    code: "GW0390",
    name: "foreign-template",
    level: Level::Error,
    summary: "a path template that means something else in other frameworks",
    explain: "OpenAPI's templates have plain parameters, each for a part of one segment. \
`{+path}`, `{path*}`, `:id` and `*` come from other frameworks. OpenAPI reads `:id` and `*` as \
literal text, and `path*` as the name of a parameter, which is rarely intended. If it is intended, \
lower the rule's level (`lint` of gateway.yaml, `x-gateway-lint` at the path): the path is then \
matched as OpenAPI reads it. To match everything below a path, set `x-gateway: {match: prefix}`.",
    bad: v30!("paths:\n  /a/:id: {}\n"),
    good: v30!("paths:\n  /a/{id}: {}\n"),
};

/// Help for a path template that is probably meant to match all paths below it.
const PREFIX: &str =
    "to match all paths below this one, write `x-gateway: {match: prefix}` in the path item";

pub(super) fn check(key: &str, place: &Place<'_, '_>, sink: &mut Sink) {
    let mut say = |bytes: Range<usize>, message: &str, help: &str| {
        let span = within(place.resolver.files(), place.at, key, bytes);
        let help = format!("{help}; to match it as it is written, allow `foreign-template` here");
        sink.push(Diagnostic::new(&LINT, span, message).help(help));
    };
    for part in template::parts(key) {
        match part {
            Part::Parameter { name, bytes }
                if name.starts_with(['+', '#', '.', '/', ';', '?', '&']) =>
            {
                say(bytes, "OpenAPI has no such operators in templates", PREFIX);
            }
            Part::Parameter { name, bytes } if name.contains(':') => {
                let (name, _) = name.split_once(':').unwrap_or((name, ""));
                let help = format!("write `{{{name}}}`, and the pattern in its `schema`");
                say(bytes, "OpenAPI has no patterns in templates", &help);
            }
            Part::Parameter { name, bytes } if name.ends_with('*') => {
                say(
                    bytes,
                    "OpenAPI has no parameters of several segments",
                    PREFIX,
                );
            }
            Part::Literal { text, start } => {
                let stars = wildcards(key, start..start + text.len());
                for star in stars.into_iter().filter(|star| key[star.clone()] != *"**") {
                    say(
                        star,
                        "OpenAPI has no wildcards in templates",
                        "for one segment write a parameter such as `{name}`; to match all paths below this one, write `x-gateway: {match: prefix}` in the path item",
                    );
                }
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
    }
}

/// Segments of `*` only, within a range of a path.
fn wildcards(key: &str, range: Range<usize>) -> Vec<Range<usize>> {
    let mut found = Vec::new();
    let mut start = 0;
    for segment in key.split('/') {
        let bytes = start..start + segment.len();
        let stars = !segment.is_empty() && segment.bytes().all(|byte| byte == b'*');
        if stars && range.start <= bytes.start && bytes.end <= range.end {
            found.push(bytes.clone());
        }
        start = bytes.end + 1;
    }
    found
}

/// Segments of a literal that look like `:id`, each with the offset of its colon.
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
