//! Search for members of JSON objects whose names differ only in letter case from a name in the
//! schema. Some servers (Go, ASP.NET) ignore letter case, and read such a member as the described
//! member. Parsers whose strings end at NUL read `role\u0000` as `role`.
//!
//! [`Members`] contains the names that a schema describes at any place. It includes keywords that
//! apply to the same value (`allOf`, `if`, `dependentSchemas`, `not`), and `patternProperties`,
//! `prefixItems` and `contains`.

mod resembling;

use std::cell::Cell;
use std::collections::BTreeMap;

use bundle::ir::Value;
use jsonschema::Validator;
use serde_json::Value as Json;

use crate::lower::{Lowering, patterns};
use crate::text;

/// Maximum number of nested levels of a schema in which member names are collected.
const DEPTH_MAX: usize = 9;
/// Maximum number of nested schemas that are read to collect the member names of one schema. Above
/// this number, fewer levels are read.
const SCHEMAS_MAX: u32 = 20_000;
/// Maximum number of `patternProperties` patterns that are compiled for one schema. Further
/// patterns are assumed to match every name that `properties` does not contain.
const PATTERNS_MAX: u32 = 64;
/// Maximum number of schemas that are read to find the closed objects of one schema.
const CLOSED_MAX: u32 = 200_000;

/// Names of the members that a schema describes, and the names inside the values of these members.
#[derive(Debug, Default)]
pub(crate) struct Members {
    /// Members found so far, while the schema is being read. Empty after [`Self::complete`].
    read: BTreeMap<Box<str>, Self>,
    /// Members that the schema describes, sorted by name, with the names in their values.
    properties: Box<[Property]>,
    /// Names of the members in folded letter case, sorted, each with its index in `properties`.
    folded: Box<[(Box<str>, usize)]>,
    patterns: Vec<Pattern>,
    /// Names in the values of members that neither `properties` nor `patternProperties` describe.
    others: Option<Box<Self>>,
    /// Names in the first items of an array, by index (`prefixItems`).
    prefix: Vec<Self>,
    /// Names in the items after the first items (`items`).
    items: Option<Box<Self>>,
    /// Names in all items (`contains`).
    each: Option<Box<Self>>,
    /// True if the schema refuses each member that it does not describe. Only known for a
    /// comparison ([`Self::to_compare`]), otherwise false.
    is_closed: bool,
}

/// Name of a member that the schema describes, and the names that the schema describes in its
/// value. `None`: the schema describes no names in the value.
type Property = (Box<str>, Option<Box<Members>>);

/// Pattern of `patternProperties`, with the names that the schema describes in the values of the
/// matching members.
#[derive(Debug)]
struct Pattern {
    text: Box<str>,
    /// Check of a name. `None`: the pattern is not enforced, so the name may match.
    matches: Option<Validator>,
    members: Members,
}

/// Remaining numbers of schemas and patterns to read.
struct SchemaBudget {
    schemas: Cell<u32>,
    patterns: Cell<u32>,
    /// Remaining number of schemas to read to find closed objects. `None`: closed objects are not
    /// searched.
    closed: Option<Cell<u32>>,
}

// === impl Members ===

impl Members {
    /// Collects the names that a schema describes.
    pub(crate) fn of<'a>(lowering: &Lowering<'a>, schema: &'a Value) -> Self {
        Self::collected(lowering, schema, false)
    }

    fn collected<'a>(lowering: &Lowering<'a>, schema: &'a Value, with_closed: bool) -> Self {
        // The number of schemas can be exponential in the depth. If there are too many, read fewer
        // levels.
        for (depth, schemas) in [(DEPTH_MAX, SCHEMAS_MAX), (4, SCHEMAS_MAX), (2, u32::MAX)] {
            let left = SchemaBudget {
                schemas: Cell::new(schemas),
                patterns: Cell::new(PATTERNS_MAX),
                closed: with_closed.then(|| Cell::new(CLOSED_MAX)),
            };
            let mut members = Self::default();
            members.read(lowering, schema, (depth, &left));
            members.is_closed = left.is_closed(lowering, schema);
            if left.schemas.get() > 0 {
                members.complete();
                return members;
            }
        }
        Self::default()
    }

    /// Adds the names of a schema. Reads at most `levels` nested levels and at most `left` schemas
    /// and patterns.
    fn read<'a>(
        &mut self,
        lowering: &Lowering<'a>,
        schema: &'a Value,
        (levels, left): (usize, &SchemaBudget),
    ) {
        left.schemas.set(left.schemas.get().saturating_sub(1));
        if levels == 0 || left.schemas.get() == 0 {
            return;
        }
        let below = (levels - 1, left);
        for (key, value) in lowering.resolve(schema).entries() {
            let value = lowering.resolve(value);
            match &**key {
                "$ref" | "if" | "then" | "else" | "not" => self.read(lowering, value, below),
                "allOf" | "anyOf" | "oneOf" => {
                    for one in value.items() {
                        self.read(lowering, one, below);
                    }
                }
                "dependentSchemas" => {
                    for (_, one) in value.entries() {
                        self.read(lowering, one, below);
                    }
                }
                "properties" => {
                    for (name, schema) in value.entries() {
                        let is_new = !self.read.contains_key(name);
                        let member = self.read.entry(name.clone()).or_default();
                        member.read(lowering, schema, below);
                        let is_closed = left.is_closed(lowering, schema);
                        member.is_closed = is_closed && (is_new || member.is_closed);
                    }
                }
                "patternProperties" => {
                    for (pattern, schema) in value.entries() {
                        let mut members = Self::default();
                        members.read(lowering, schema, below);
                        members.is_closed = left.is_closed(lowering, schema);
                        if !members.is_empty() {
                            let matches = compiled(pattern, left);
                            let text = pattern.clone();
                            self.patterns.push(Pattern {
                                text,
                                matches,
                                members,
                            });
                        }
                    }
                }
                "additionalProperties" | "unevaluatedProperties" => {
                    Self::read_part(&mut self.others, lowering, value, below);
                }
                "prefixItems" => {
                    for (index, schema) in value.items().iter().enumerate() {
                        if self.prefix.len() <= index {
                            self.prefix.push(Self::default());
                        }
                        self.prefix[index].read(lowering, schema, below);
                        self.prefix[index].is_closed = left.is_closed(lowering, schema);
                    }
                }
                "items" | "unevaluatedItems" => {
                    Self::read_part(&mut self.items, lowering, value, below);
                }
                "contains" => {
                    let each = self.each.get_or_insert_default();
                    each.read(lowering, value, below);
                }
                _ => {}
            }
        }
    }

    /// Adds the names of a schema of inner values to `part`.
    fn read_part<'a>(
        part: &mut Option<Box<Self>>,
        lowering: &Lowering<'a>,
        schema: &'a Value,
        (levels, left): (usize, &SchemaBudget),
    ) {
        let is_new = part.is_none();
        let part = part.get_or_insert_default();
        part.read(lowering, schema, (levels, left));
        let is_closed = left.is_closed(lowering, schema);
        part.is_closed = is_closed && (is_new || part.is_closed);
    }

    /// Fills `properties` and `folded` at all levels, and removes parts without names.
    fn complete(&mut self) {
        let read = std::mem::take(&mut self.read).into_iter();
        let properties = read.map(|(name, mut members)| {
            members.complete();
            let below = (!members.is_empty()).then(|| Box::new(members));
            (name, below)
        });
        self.properties = properties.collect();
        let names = self.properties.iter().enumerate();
        let folded = names.map(|(index, (name, _))| (text::folded(name).into(), index));
        self.folded = folded.collect();
        self.folded.sort_unstable();
        let patterns = self.patterns.iter_mut().map(|one| &mut one.members);
        patterns.for_each(Self::complete);
        self.prefix.iter_mut().for_each(Self::complete);
        for part in [&mut self.others, &mut self.items, &mut self.each] {
            part.iter_mut().for_each(|one| one.complete());
            *part = part.take().filter(|one| !one.is_empty());
        }
    }

    /// True if the schema describes no name, and is not known to be closed.
    fn is_empty(&self) -> bool {
        !self.is_closed
            && self.read.is_empty()
            && self.properties.is_empty()
            && self.patterns.is_empty()
            && self.prefix.iter().all(Self::is_empty)
            && [&self.others, &self.items, &self.each]
                .iter()
                .all(|part| part.is_none())
    }

    /// Index in `properties` of the member with this name.
    fn position(&self, name: &str) -> Option<usize> {
        let properties = &self.properties;
        let found = properties.binary_search_by(|(known, _)| (**known).cmp(name));
        found.ok()
    }

    /// Name in the schema whose form in folded letter case is `folded`.
    fn in_other_case(&self, folded: &str) -> Option<&str> {
        let at = self.folded.partition_point(|(known, _)| **known < *folded);
        let (found, index) = self.folded.get(at)?;
        (**found == *folded).then(|| &*self.properties[*index].0)
    }

    /// Adds the names inside the value of a member to `all`.
    fn of_member<'m>(&'m self, name: &str, all: &mut Vec<&'m Self>) {
        let before = all.len();
        let own = self.position(name);
        all.extend(own.and_then(|index| self.properties[index].1.as_deref()));
        if !self.patterns.is_empty() {
            let text = Json::String(name.to_owned());
            for one in &self.patterns {
                let matches = match &one.matches {
                    Some(matches) => matches.is_valid(&text),
                    None => own.is_none(),
                };
                all.extend(matches.then_some(&one.members));
            }
        }
        if own.is_none() && all.len() == before {
            all.extend(self.others.as_deref());
        }
    }

    /// Adds the names inside an item of an array to `all`.
    fn of_item<'m>(&'m self, index: usize, all: &mut Vec<&'m Self>) {
        match self.prefix.get(index) {
            Some(item) => all.push(item),
            None => all.extend(self.items.as_deref()),
        }
        all.extend(self.each.as_deref());
    }
}

/// Check of names against a pattern. `None` if the pattern is not enforced.
fn compiled(pattern: &str, left: &SchemaBudget) -> Option<Validator> {
    left.patterns.set(left.patterns.get().checked_sub(1)?);
    let schema = serde_json::json!({"pattern": pattern});
    let options = jsonschema::options().with_pattern_options(patterns());
    options.build(&schema).ok()
}

/// Calls `found` for objects in a JSON value with a member whose name some servers read as a name
/// in the schema. The names differ only in letter case, or in what follows a NUL. Arguments of
/// `found`: JSON pointer of the object, and the name in the schema. Ends if `found` returns true.
pub(crate) fn in_other_case(
    value: &Json,
    members: &Members,
    found: &mut dyn FnMut(&str, &str) -> bool,
) {
    if !members.is_empty() {
        walk(value, &[members], &mut String::new(), found);
    }
}

/// Searches a value and the values inside it. `described`: names that the schemas of the value
/// describe. `at`: JSON pointer of the value. Returns true if a call of `found` ends the search.
fn walk(
    value: &Json,
    described: &[&Members],
    at: &mut String,
    found: &mut dyn FnMut(&str, &str) -> bool,
) -> bool {
    let is_nested = |value: &Json| matches!(value, Json::Object(_) | Json::Array(_));
    let length = at.len();
    let mut below = Vec::new();
    match value {
        Json::Object(all) => {
            for (name, value) in all {
                if let Some(described) = other_case(name, described) {
                    if found(at, described) {
                        return true;
                    }
                    continue;
                }
                if !is_nested(value) {
                    continue;
                }
                below.clear();
                described
                    .iter()
                    .for_each(|one| one.of_member(name, &mut below));
                at.push('/');
                at.push_str(&name.replace('~', "~0").replace('/', "~1"));
                let ends = !below.is_empty() && walk(value, &below, at, found);
                at.truncate(length);
                if ends {
                    return true;
                }
            }
        }
        Json::Array(all) => {
            for (index, value) in all.iter().enumerate().filter(|(_, one)| is_nested(one)) {
                below.clear();
                described
                    .iter()
                    .for_each(|one| one.of_item(index, &mut below));
                at.push_str(&format!("/{index}"));
                let ends = !below.is_empty() && walk(value, &below, at, found);
                at.truncate(length);
                if ends {
                    return true;
                }
            }
        }
        _ => {}
    }
    false
}

/// Name in the schema that differs from `name` only in letter case, or in what follows a NUL, at
/// which some parsers end a name. `None` if the schema also describes `name` itself.
fn other_case<'m>(name: &str, described: &[&'m Members]) -> Option<&'m str> {
    if described.iter().any(|one| one.position(name).is_some()) {
        return None;
    }
    let ended = name.split('\0').next().unwrap_or(name);
    let folded = text::folded(ended);
    described.iter().find_map(|one| one.in_other_case(&folded))
}
