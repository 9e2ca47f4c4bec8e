//! Rule for a discriminator whose property may be missing.

use std::collections::HashSet;

use diag::{Diagnostic, Level, Lint, NodeId, NodeRef, Sink};

use crate::lint::Place;
use sources::v30;

/// Lint that this rule reports.
pub(super) static LINT: Lint = Lint {
    code: "GW0368",
    name: "optional-discriminator",
    level: Level::Warn,
    summary: "a discriminator whose property may be missing",
    explain: "A discriminator selects a schema by the value of one property. If that property is \
not `required` (in the schema itself or in each of its alternatives), a value without it selects \
no schema. From 3.2 on `defaultMapping` names the schema for such values.",
    bad: v30!(
        "paths: {}\ncomponents: {schemas: {A: {type: object, properties: {kind: {type: string}}, discriminator: {propertyName: kind}}}}\n"
    ),
    good: v30!(
        "paths: {}\ncomponents: {schemas: {A: {type: object, required: [kind], properties: {kind: {type: string}}, discriminator: {propertyName: kind}}}}\n"
    ),
};

pub(super) fn check(place: &Place<'_, '_>, sink: &mut Sink) {
    let Some(discriminator) = place.node.get("discriminator") else {
        return;
    };
    let Some(name) = discriminator.get("propertyName") else {
        return;
    };
    let Some(text) = name.as_str() else { return };
    let mut seen = HashSet::new();
    if discriminator.get("defaultMapping").is_some() || requires(place, place.node, text, &mut seen)
    {
        return;
    }
    let shown = text.escape_debug();
    let message = format!("the discriminator's property `{shown}` is not required");
    sink.push(Diagnostic::new(&LINT, name.span(), message).help(format!(
        "add `{shown}` to `required`, of the schema or of each alternative"
    )));
}

/// True if a schema requires a property in every value. A broken or circular reference counts as
/// true.
fn requires(
    place: &Place<'_, '_>,
    schema: NodeRef<'_>,
    name: &str,
    seen: &mut HashSet<NodeId>,
) -> bool {
    if !seen.insert(schema.id()) {
        return true;
    }
    let required = schema.get("required").into_iter().flat_map(NodeRef::items);
    let mut required = required.filter_map(NodeRef::as_str);
    if required.any(|required| required == name) {
        return true;
    }
    if let Some(reference) = schema.get("$ref") {
        let target = place.resolver.node(reference.id());
        let Ok(target) = place.resolver.target(target) else {
            return true;
        };
        if requires(place, target, name, seen) {
            return true;
        }
    }
    let mut all = schema.get("allOf").into_iter().flat_map(NodeRef::items);
    if all.any(|branch| requires(place, branch, name, seen)) {
        return true;
    }
    ["oneOf", "anyOf"].iter().any(|key| {
        let mut branches = schema
            .get(key)
            .into_iter()
            .flat_map(NodeRef::items)
            .peekable();
        branches.peek().is_some() && branches.all(|branch| requires(place, branch, name, seen))
    })
}
