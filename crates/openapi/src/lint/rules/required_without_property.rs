//! Rule for a required property that the schema does not describe.

use std::collections::HashSet;

use diag::{Diagnostic, Level, Lint, NodeId, NodeRef, Sink, suggest};

use crate::lint::Place;
use sources::v30;

/// Lint that this rule reports.
pub(super) static LINT: Lint = Lint {
    code: "GW0355",
    name: "required-without-property",
    level: Level::Warn,
    summary: "a required property that the schema does not describe",
    explain: "`required` names a property that no `properties` describes: neither of the schema, \
nor of the schemas that `allOf`, `anyOf` or `oneOf` combine with it. Most often one of the two \
names is misspelt; then each value without the misspelt name is refused. Schemas that describe no \
property at all, and those with `additionalProperties` or `patternProperties` that describe the \
others, are not reported.",
    bad: v30!(
        "paths: {}\ncomponents: {schemas: {A: {type: object, required: [nmae], properties: {name: {type: string}}}}}\n"
    ),
    good: v30!(
        "paths: {}\ncomponents: {schemas: {A: {type: object, required: [name], properties: {name: {type: string}}}}}\n"
    ),
};

/// Fields whose schemas apply to the same value as the enclosing schema.
const IN_PLACE: &[&str] = &[
    "allOf",
    "anyOf",
    "oneOf",
    "not",
    "if",
    "then",
    "else",
    "dependentSchemas",
];
/// Maximum number of names in one `required` list for which a suggestion is searched.
const SUGGESTED_MAX: usize = 50;
/// Maximum number of described properties among which a suggestion is searched. If there are more,
/// no name gets a suggestion.
const NAMES_MAX: usize = 2_000;
/// Maximum number of combined schemas that are searched for properties. If there are more, nothing
/// is reported.
const SCHEMAS_MAX: usize = 2_000;

pub(super) fn check(place: &Place<'_, '_>, sink: &mut Sink) {
    // Skip a subschema such as an item of `allOf`: it is checked together with the enclosing
    // schema, which may describe the property.
    if IN_PLACE.contains(&place.under) || !mentions_required(place.node) {
        return;
    }
    let mut known = Known::default();
    known.add(place, place.node);
    let describes = |known: &Known<'_>| describes_required(place.node, &known.names, 0);
    if known.is_open() || describes(&known) {
        return;
    }
    // A schema whose `allOf` refers to this one may describe the property.
    for around in place.schemas.combined_with(place.node) {
        known.add(place, *around);
        if known.is_open() || describes(&known) {
            return;
        }
    }
    check_required(place.node, &known.names, 0, sink);
}

/// Maximum nesting of `allOf`, `anyOf` and `oneOf` that are searched for `required`.
const DEPTH_MAX: usize = 50;

/// True if `names` contains every required property of a schema and of its subschemas in `allOf`,
/// `anyOf` and `oneOf`.
fn describes_required(schema: NodeRef<'_>, names: &HashSet<&str>, depth: usize) -> bool {
    let mut required = schema.get("required").into_iter().flat_map(NodeRef::items);
    if !required.all(|name| name.as_str().is_none_or(|name| names.contains(name))) {
        return false;
    }
    if depth > DEPTH_MAX || schema.get("$ref").is_some() {
        return true;
    }
    let mut branches = ["allOf", "anyOf", "oneOf"]
        .into_iter()
        .flat_map(|key| schema.get(key).into_iter().flat_map(NodeRef::items));
    branches.all(|branch| describes_required(branch, names, depth + 1))
}

/// Returns the properties that a schema and the schemas combined with it describe. `None` if the
/// schemas may also describe properties with other names.
pub(super) fn described<'a>(
    place: &Place<'_, 'a>,
    schema: NodeRef<'a>,
) -> Option<HashSet<&'a str>> {
    let mut known = Known::default();
    known.add(place, schema);
    (!known.is_open()).then_some(known.names)
}

/// True if a schema, or a member of its `allOf`, `anyOf` or `oneOf`, has `required`.
fn mentions_required(schema: NodeRef<'_>) -> bool {
    let branches = |key| schema.get(key).into_iter().flat_map(NodeRef::items);
    schema.get("required").is_some_and(NodeRef::is_list)
        || ["allOf", "anyOf", "oneOf"]
            .into_iter()
            .any(|key| branches(key).any(|branch| branch.get("required").is_some()))
}

/// Properties that a schema and the schemas combined with it describe.
#[derive(Default)]
struct Known<'a> {
    names: HashSet<&'a str>,
    seen: HashSet<NodeId>,
    /// True if the schemas may also describe properties with any other name.
    open: bool,
}

impl<'a> Known<'a> {
    /// True if the schemas may describe more properties than the known names. Also true if they
    /// describe no property, or if there are more than [`SCHEMAS_MAX`] schemas.
    fn is_open(&self) -> bool {
        self.open || self.names.is_empty() || self.seen.len() >= SCHEMAS_MAX
    }

    fn add(&mut self, place: &Place<'_, 'a>, schema: NodeRef<'a>) {
        let mut waiting = vec![schema];
        while let Some(schema) = waiting.pop() {
            if self.seen.len() >= SCHEMAS_MAX || !self.seen.insert(schema.id()) {
                continue;
            }
            for (entry, argument) in schema.entries() {
                match &*entry.key {
                    "properties" => match place.resolver.resolve(argument) {
                        Some(all) => self
                            .names
                            .extend(all.entries().map(|(entry, _)| &*entry.key)),
                        None => self.open = true,
                    },
                    "patternProperties" | "$dynamicRef" => self.open = true,
                    "additionalProperties" | "unevaluatedProperties" => {
                        self.open |= argument.as_bool() != Some(false);
                    }
                    "$ref" => match place.resolver.target(argument) {
                        Ok(target) => waiting.push(target),
                        Err(_) => self.open = true,
                    },
                    "allOf" | "anyOf" | "oneOf" => waiting.extend(argument.items()),
                    "if" | "then" | "else" => waiting.push(argument),
                    "dependentSchemas" => {
                        waiting.extend(argument.entries().map(|(_, schema)| schema));
                    }
                    _ => {}
                }
            }
        }
    }
}

fn check_required(schema: NodeRef<'_>, names: &HashSet<&str>, depth: usize, sink: &mut Sink) {
    let required = schema.get("required").into_iter().flat_map(NodeRef::items);
    let missing = required.filter_map(|name| Some((name, name.as_str()?)));
    let missing = missing.filter(|(_, text)| !names.contains(text));
    for (index, (name, text)) in missing.enumerate() {
        let message = format!("no property `{}` is described", text.escape_debug());
        let finding = Diagnostic::new(&LINT, name.span(), message);
        let few = index < SUGGESTED_MAX && names.len() <= NAMES_MAX;
        let near = few.then(|| {
            let mut sorted: Vec<&str> = names.iter().copied().collect();
            sorted.sort_unstable();
            suggest::nearest(text, sorted)
        });
        sink.push(match near.flatten() {
            Some(near) => finding.label(format!("did you mean `{near}`?")),
            None => finding.help("describe it under `properties`, or remove it from `required`"),
        });
    }
    if depth > DEPTH_MAX || schema.get("$ref").is_some() {
        return;
    }
    for key in ["allOf", "anyOf", "oneOf"] {
        for branch in schema.get(key).into_iter().flat_map(NodeRef::items) {
            check_required(branch, names, depth + 1, sink);
        }
    }
}
