//! Rule for a keyword without effect on values of the schema's type.

use diag::{Diagnostic, Level, Lint, NodeRef, Sink};

use crate::lint::Place;
use sources::v30;

/// Lint that this rule reports.
pub(super) static LINT: Lint = Lint {
    code: "GW0371",
    name: "keyword-of-other-type",
    level: Level::Warn,
    summary: "a keyword without effect on values of the schema's type",
    explain: "`minLength` applies to strings, `properties` to objects: beside another `type` the \
keyword has no effect. Most often the type is wrong, or a keyword of another schema was left \
behind.",
    bad: v30!("paths: {}\ncomponents: {schemas: {A: {type: string, minimum: 1}}}\n"),
    good: v30!("paths: {}\ncomponents: {schemas: {A: {type: string, minLength: 1}}}\n"),
};

pub(super) fn check(place: &Place<'_, '_>, sink: &mut Sink) {
    let Some(kind) = place.node.get("type") else {
        return;
    };
    let one = kind.as_str().into_iter();
    let types: Vec<&str> = one
        .chain(kind.items().filter_map(NodeRef::as_str))
        .collect();
    // If `type` contains an unknown type, another rule reports it.
    let known = [
        "string", "number", "integer", "array", "object", "boolean", "null", "file",
    ];
    if types.is_empty() || !types.iter().all(|kind| known.contains(kind)) {
        return;
    }
    for (entry, _) in place.node.entries() {
        let about = about(&entry.key);
        if about.is_empty() || types.iter().any(|kind| about.contains(kind)) {
            continue;
        }
        let message = format!(
            "`{}` has no effect on a value of type {}",
            entry.key,
            types.join(" or ")
        );
        sink.push(
            Diagnostic::new(&LINT, entry.key_span, message)
                .related(kind.span(), "the type")
                .help(format!(
                    "it applies to values of type {}",
                    about.join(" or ")
                )),
        );
    }
}

/// Types to which a keyword applies. Empty means all types.
fn about(keyword: &str) -> &'static [&'static str] {
    match keyword {
        "minLength" | "maxLength" | "pattern" => &["string"],
        "minimum" | "maximum" | "exclusiveMinimum" | "exclusiveMaximum" | "multipleOf" => {
            &["number", "integer"]
        }
        "items" | "prefixItems" | "contains" | "minItems" | "maxItems" | "uniqueItems" => {
            &["array"]
        }
        "properties"
        | "patternProperties"
        | "additionalProperties"
        | "propertyNames"
        | "required"
        | "minProperties"
        | "maxProperties"
        | "dependentRequired" => &["object"],
        _ => &[],
    }
}
