//! Reasons for which a pair of schemas is undecided.

use bundle::ir::Value;
use rustc_hash::FxHashSet;

use crate::lower::{NotEnforced, resolved};

/// Reason for which containment was neither proved nor refuted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Doubt {
    /// The maximum number of steps or of searches for values was reached.
    Limit,
    /// The effect of this keyword cannot be decided.
    Keyword(&'static str),
    /// A schema applies itself to the same value again, for example with `allOf`.
    Cycle,
    /// The value is sent as text, so that its JSON type is uncertain.
    Text,
    /// No sample value shows a difference, and the proof did not succeed.
    NoExample,
}

impl Doubt {
    /// Reason for which values of a schema cannot be checked.
    pub(super) fn of(not_enforced: &NotEnforced) -> Self {
        match not_enforced {
            NotEnforced::Pattern(_) => Self::Keyword("pattern"),
            NotEnforced::DynamicRef => Self::Keyword("$dynamicRef"),
            NotEnforced::Cycle => Self::Cycle,
        }
    }
}

/// Maximum number of schemas in which [`keyword`] searches.
const SCHEMAS_MAX: usize = 256;

/// First keyword of the wide schema that a proof cannot use and that the narrow schema does not
/// have with the same value. Also searches the schemas that the two schemas apply to the same
/// value, such as members of `allOf`.
pub(super) fn keyword<'a>(
    nodes: &'a [Value],
    narrow: &'a Value,
    wide: &'a Value,
) -> Option<&'static str> {
    let own = entries(nodes, narrow);
    let all = entries(nodes, wide).into_iter();
    let mut found = all.filter_map(|entry| {
        let name = undecidable(entry.0)?;
        (!own.contains(&entry)).then_some(name)
    });
    found.next()
}

/// Static name of a keyword that a proof cannot use unless both schemas have it with the same
/// value. `None` for other keywords.
fn undecidable(key: &str) -> Option<&'static str> {
    const KEYS: [&str; 7] = [
        "pattern",
        "format",
        "discriminator",
        "$dynamicRef",
        "dependencies",
        "additionalItems",
        "x-limits",
    ];
    KEYS.into_iter().find(|known| *known == key)
}

/// Keywords of a schema and of the schemas that it applies to the same value.
fn entries<'a>(nodes: &'a [Value], schema: &'a Value) -> Vec<(&'a str, &'a Value)> {
    let mut found = Vec::new();
    let mut seen = FxHashSet::default();
    let mut waiting = vec![schema];
    while let Some(schema) = waiting.pop() {
        let schema = resolved(nodes, schema);
        if seen.len() >= SCHEMAS_MAX || !seen.insert(std::ptr::from_ref(schema)) {
            continue;
        }
        for (key, value) in schema.entries() {
            match &**key {
                "allOf" | "anyOf" | "oneOf" => waiting.extend(resolved(nodes, value).items()),
                "$ref" | "not" | "if" | "then" | "else" => waiting.push(value),
                _ => found.push((&**key, value)),
            }
        }
    }
    found
}
