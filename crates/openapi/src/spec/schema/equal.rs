//! Equality of values in JSON Schema (2020-12 core §4.2.2): numbers by value, maps without order.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use diag::{Kind, NodeRef};

use super::{Schemas, number};

impl Schemas<'_, '_> {
    /// Returns the first value that equals an earlier one. `None` if there is no such value, or the
    /// step budget is used up.
    #[must_use]
    pub(super) fn first_again<'t>(
        &self,
        values: impl Iterator<Item = NodeRef<'t>>,
    ) -> Option<NodeRef<'t>> {
        let mut before: HashMap<u64, Vec<NodeRef<'t>>> = HashMap::new();
        for value in values {
            let alike = before.entry(self.hash(value)).or_default();
            if alike.iter().any(|other| self.equal(*other, value)) {
                return Some(value);
            }
            if self.exhausted() {
                return None;
            }
            alike.push(value);
        }
        None
    }

    /// Hash of a value. Values that are equal as JSON have the same hash. The hash is partial if
    /// the step budget is used up.
    fn hash(&self, value: NodeRef<'_>) -> u64 {
        let mut hasher = DefaultHasher::new();
        value.kind_name().hash(&mut hasher);
        if !self.take_step() {
            return 0;
        }
        match value.kind() {
            Kind::Null => {}
            Kind::Bool(truth) => truth.hash(&mut hasher),
            Kind::String(text) => text.hash(&mut hasher),
            // Adding zero turns -0 into 0.
            Kind::Number(text) => match number::of(value) {
                Some(number) => (number + 0.0).to_bits().hash(&mut hasher),
                None => text.hash(&mut hasher),
            },
            Kind::List(_) => value
                .items()
                .for_each(|item| self.hash(item).hash(&mut hasher)),
            Kind::Map(_) => {
                let entry = |(entry, value): (&diag::tree::Entry, _)| {
                    let mut hasher = DefaultHasher::new();
                    (&*entry.key, self.hash(value)).hash(&mut hasher);
                    hasher.finish()
                };
                // Sum the hashes of the entries, because maps have no order.
                let sum = value.entries().map(entry).fold(0, u64::wrapping_add);
                sum.hash(&mut hasher);
            }
        }
        hasher.finish()
    }

    /// True if two values are equal as JSON. Counts steps, because YAML aliases can make a short
    /// text expand to a huge value.
    #[must_use]
    pub fn equal(&self, a: NodeRef<'_>, b: NodeRef<'_>) -> bool {
        if a.id() == b.id() {
            return true;
        }
        if !self.take_step() {
            return false;
        }
        match (a.kind(), b.kind()) {
            (Kind::Null, Kind::Null) => true,
            (Kind::Bool(a), Kind::Bool(b)) => a == b,
            (Kind::String(a), Kind::String(b)) => a == b,
            (Kind::Number(left), Kind::Number(right)) => {
                left == right || number::compare(a, b).is_some_and(std::cmp::Ordering::is_eq)
            }
            (Kind::List(_), Kind::List(_)) => {
                let same_length = a.items().len() == b.items().len();
                same_length && a.items().zip(b.items()).all(|(a, b)| self.equal(a, b))
            }
            (Kind::Map(_), Kind::Map(_)) => {
                let same_length = a.entries().len() == b.entries().len();
                let same = |key: &str, value| b.get(key).is_some_and(|b| self.equal(value, b));
                same_length && a.entries().all(|(entry, value)| same(&entry.key, value))
            }
            (
                Kind::Null
                | Kind::Bool(_)
                | Kind::String(_)
                | Kind::Number(_)
                | Kind::List(_)
                | Kind::Map(_),
                _,
            ) => false,
        }
    }
}
