//! Comparison of two descriptions by the member names that they refuse because of their letter
//! case.
//!
//! A description refuses a name that it does not contain and that differs only in letter case from
//! a name that it contains. A description with a further name, `Role` beside `role`, no longer
//! refuses this name.

use std::collections::BTreeSet;

use bundle::ir::Value;

use super::{Members, SchemaBudget, other_case};
use crate::contain::names;
use crate::lower::Lowering;

/// Maximum number of compared pairs of objects.
const STEPS_MAX: u32 = 100_000;
/// Maximum nesting of the schemas for one value that are read to find a closed object.
const NESTED_MAX: u32 = 9;
/// Name that schemas do not describe.
const OTHER_NAME: &str = "\u{1}";

impl SchemaBudget {
    /// True if a schema refuses each member that it does not describe, or each object. False if
    /// that is not certain.
    pub(super) fn is_closed<'a>(&self, lowering: &Lowering<'a>, schema: &'a Value) -> bool {
        self.closed.is_some() && self.closes(lowering, schema, NESTED_MAX)
    }

    fn closes<'a>(&self, lowering: &Lowering<'a>, schema: &'a Value, nested: u32) -> bool {
        let Some(left) = &self.closed else {
            return false;
        };
        left.set(left.get().saturating_sub(1));
        if nested == 0 || left.get() == 0 {
            return false;
        }
        let schema = lowering.resolve(schema);
        if let Value::Bool(admits) = schema {
            return !admits;
        }
        let closes = |one: &'a Value| self.closes(lowering, one, nested - 1);
        let has_patterns = schema.get("patternProperties").is_some();
        let is_object = |one: &'a Value| matches!(lowering.resolve(one), Value::Map(_));
        schema.entries().iter().any(|(key, value)| {
            let resolved = lowering.resolve(value);
            let items = || resolved.items().iter();
            match &**key {
                "type" => !names(lowering.nodes(), value).contains("object"),
                "enum" => !items().any(is_object),
                "const" => !is_object(value),
                "additionalProperties" | "unevaluatedProperties" => {
                    *resolved == Value::Bool(false) && !has_patterns
                }
                "$ref" => closes(value),
                "allOf" => items().any(closes),
                "anyOf" | "oneOf" => items().all(closes),
                _ => false,
            }
        })
    }
}

impl Members {
    /// Collects the names that a schema describes, and the objects that it closes.
    pub(crate) fn to_compare<'a>(lowering: &Lowering<'a>, schema: &'a Value) -> Self {
        Self::collected(lowering, schema, true)
    }

    /// True if the schema refuses each member that it does not describe.
    pub(crate) fn is_closed(&self) -> bool {
        self.is_closed
    }

    /// True if these names refuse, because of letter case, only values that the schema of `narrow`
    /// was shown to refuse too.
    pub(crate) fn accepts_names_of(&self, narrow: &Self) -> bool {
        accepts((&[self], &[narrow]), &mut 0)
    }

    /// Adds the members that the pattern `text` describes to `all`. If the schema lacks this
    /// pattern, adds the members of undescribed names.
    fn of_pattern<'m>(&'m self, text: &str, all: &mut Vec<&'m Self>) {
        let mut same = self.patterns.iter().filter(|one| *one.text == *text);
        match same.next() {
            Some(one) => all.push(&one.members),
            None => all.extend(self.others.as_deref()),
        }
    }
}

/// Function that adds the names inside of a value to a list.
type Inner<'f, 'm> = dyn Fn(&'m Members, &mut Vec<&'m Members>) + 'f;

/// Compares the names of one value, and the names inside of it. `wide`, `narrow`: names that the
/// schemas of the value describe. Counts `steps` up to [`STEPS_MAX`].
fn accepts<'m>((wide, narrow): (&[&'m Members], &[&'m Members]), steps: &mut u32) -> bool {
    if wide.is_empty() {
        return true;
    }
    *steps += 1;
    if *steps > STEPS_MAX {
        return false;
    }
    let described = |all: &[&'m Members]| -> BTreeSet<&'m str> {
        let names = all.iter().flat_map(|one| one.properties.iter());
        names.map(|(name, _)| &**name).collect()
    };
    let (wide_names, narrow_names) = (described(wide), described(narrow));
    let mut own = narrow_names.iter();
    if own.any(|name| other_case(name, wide).is_some()) {
        return false;
    }
    let is_closed = narrow.iter().any(|one| one.is_closed);
    let is_newly_refused = |name: &&str| {
        let other = [
            name.to_uppercase(),
            name.to_lowercase(),
            format!("{name}\0"),
        ];
        let mut other = other.iter().filter(|other| *other != name);
        other.any(|other| other_case(other, wide).is_some() && is_accepted(other, narrow))
    };
    if !is_closed && wide_names.iter().any(is_newly_refused) {
        return false;
    }
    let mut inner = |of: &Inner<'_, 'm>| {
        let of_all = |all: &[&'m Members]| {
            let mut found = Vec::new();
            all.iter().for_each(|one| of(one, &mut found));
            found
        };
        accepts((&of_all(wide), &of_all(narrow)), steps)
    };
    let mut names = narrow_names.union(&wide_names).copied();
    let is_possible = |name: &str| !is_closed || narrow_names.contains(name);
    let has_same = names
        .all(|name| !is_possible(name) || inner(&move |one, found| one.of_member(name, found)));
    if !has_same || !is_closed && !inner(&|one, found| one.of_member(OTHER_NAME, found)) {
        return false;
    }
    let patterns = wide.iter().chain(narrow).flat_map(|one| &one.patterns);
    let patterns: BTreeSet<&'m str> = patterns.map(|one| &*one.text).collect();
    let mut patterns = patterns.into_iter();
    if !patterns.all(|text| inner(&move |one, found| one.of_pattern(text, found))) {
        return false;
    }
    let items = wide.iter().chain(narrow).map(|one| one.prefix.len()).max();
    let mut items = 0..=items.unwrap_or(0);
    items.all(|index| inner(&move |one, found| one.of_item(index, found)))
}

/// True if a name is described, or differs from each described name in more than letter case.
fn is_accepted(name: &str, described: &[&Members]) -> bool {
    other_case(name, described).is_none()
}
