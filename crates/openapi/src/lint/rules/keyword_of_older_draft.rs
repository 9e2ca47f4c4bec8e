//! Rule for a keyword of an older JSON Schema draft that 2020-12 replaced.

use diag::{Diagnostic, Level, Lint, Sink};

use crate::lint::Place;
use crate::spec::Version;
use sources::v31;

/// Lint that this rule reports.
pub(super) static LINT: Lint = Lint {
    code: "GW0388",
    name: "keyword-of-older-draft",
    level: Level::Warn,
    summary: "a keyword that JSON Schema 2020-12 does not have any more",
    explain: "Schemas of OpenAPI 3.1 and later are JSON Schema 2020-12, which may have any keyword and ignores those that it does not know. \
`additionalItems`, `dependencies` and `$recursiveRef` of earlier drafts are among the ignored \
ones: they check nothing.",
    bad: v31!(
        "paths: {}\ncomponents: {schemas: {A: {type: object, dependencies: {a: [b]}, properties: {a: {}, b: {}}}}}\n"
    ),
    good: v31!(
        "paths: {}\ncomponents: {schemas: {A: {type: object, dependentRequired: {a: [b]}, properties: {a: {}, b: {}}}}}\n"
    ),
};

/// Keywords of older drafts and their replacements (2020-12 core, appendix; validation, appendix
/// B).
const REPLACED: &[(&str, &str)] = &[
    (
        "additionalItems",
        "write `items` for what follows `prefixItems`",
    ),
    (
        "dependencies",
        "write `dependentRequired` for lists of names, `dependentSchemas` for schemas",
    ),
    ("$recursiveRef", "write `$dynamicRef`"),
    ("$recursiveAnchor", "write `$dynamicAnchor`"),
    ("divisibleBy", "write `multipleOf`"),
    ("disallow", "write `not`"),
];

pub(super) fn check(place: &Place<'_, '_>, sink: &mut Sink) {
    if place.version == Version::V30 || place.node.get("$schema").is_some() {
        return;
    }
    for (entry, _) in place.node.entries() {
        if let Some((key, help)) = REPLACED.iter().find(|(key, _)| *key == &*entry.key) {
            let message = format!("`{key}` has no meaning in JSON Schema 2020-12");
            sink.push(Diagnostic::new(&LINT, entry.key_span, message).help(*help));
        }
    }
}
