//! Rule for a `pattern` that is not a regular expression.

use diag::{Diagnostic, Level, Lint, NodeRef, Sink, Span};

use crate::lint::Place;
use crate::spec::Version;
use crate::spec::schema::Pattern;
use sources::v30;

/// Lint that this rule reports.
pub(super) static LINT: Lint = Lint {
    code: "GW0352",
    name: "malformed-pattern",
    level: Level::Error,
    summary: "a `pattern` that is not a regular expression",
    explain: "`pattern` and the keys of `patternProperties` are regular expressions of ECMA-262 (JavaScript's). One that cannot be read \
checks nothing. In YAML single quotes keep backslashes as they are.",
    bad: v30!("paths: {}\ncomponents: {schemas: {A: {type: string, pattern: '^[a-z+$'}}}\n"),
    good: v30!("paths: {}\ncomponents: {schemas: {A: {type: string, pattern: '^[a-z]+$'}}}\n"),
};

pub(super) fn check(place: &Place<'_, '_>, sink: &mut Sink) {
    for (span, text) in patterns(place) {
        if let Pattern::Malformed(why) = &*place.schemas.pattern(text) {
            sink.push(
                Diagnostic::new(&LINT, span, "this is not a regular expression")
                    .label(why.escape_debug().to_string()),
            );
        }
    }
}

/// Regular expressions of a schema (`pattern` and keys of `patternProperties`), with their spans.
pub(super) fn patterns<'a>(place: &Place<'_, 'a>) -> Vec<(Span, &'a str)> {
    let value = place.node.get("pattern");
    let value = value.and_then(|value| Some((value.span(), value.as_str()?)));
    let keys = place.node.get("patternProperties");
    let keys = keys.filter(|_| place.version >= Version::V31);
    let keys = keys.into_iter().flat_map(NodeRef::entries);
    value
        .into_iter()
        .chain(keys.map(|(entry, _)| (entry.key_span, &*entry.key)))
        .collect()
}
