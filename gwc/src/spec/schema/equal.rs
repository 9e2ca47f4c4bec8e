//! Equality of values as JSON Schema has it (2020-12 core §4.2.2): numbers by value, maps
//! without order.

use diag::{Kind, NodeRef};

use super::{Schemas, number};

impl Schemas<'_, '_> {
    /// Whether two values are the same to JSON. Counts its steps: by way of YAML aliases a short
    /// text can be an endless value.
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
