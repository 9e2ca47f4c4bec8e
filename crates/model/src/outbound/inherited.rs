//! Requests that an operation inherits. In the old version, an operation with a narrower path
//! received them. In the new version, no such operation receives them, so they reach an operation
//! with a wider path.
//!
//! Neither the inheriting operation nor its destination changed. Only a comparison of the inherited
//! requests shows what they newly reach.

use super::ends::End;
use super::mappings::Mapping;
use super::{Outbound, OutboundOperation, method_contains};

impl Outbound<'_> {
    /// Adds the destinations of inherited requests to the operations. `old`: the old version.
    #[must_use]
    pub fn with_inherited(mut self, old: &Outbound<'_>) -> Self {
        let removed = self.mappings.removed(&old.mappings);
        if removed.is_empty() {
            return self;
        }
        let mut found: Vec<(usize, End)> = Vec::new();
        for mapping in removed {
            for at in self.mappings.wider(mapping) {
                // Mappings after those of `self.operations` belong to internal operations.
                let operation = self.operations.get(at);
                if let Some(operation) = operation.filter(|one| receives(one, mapping)) {
                    let ends = operation.ends.iter().filter(|end| end.is_sent());
                    let ends = ends.filter(|end| self.was_sent((at, end), old));
                    let ends = ends.filter_map(|end| self.part((at, end), mapping));
                    found.extend(ends.map(|end| (at, end)));
                }
            }
        }
        for (at, end) in found {
            let known = &mut self.operations[at].inherited;
            if !known.iter().any(|one| one.is_same(&end)) {
                known.push(end);
            }
        }
        self
    }

    /// True if the operation at this index receives requests that another operation received
    /// before.
    #[must_use]
    pub fn inherits(&self, at: usize) -> bool {
        !self.operations[at].inherited.is_empty()
    }

    /// True if an operation of the old version with the same client requests had the same
    /// destination. If not, the whole destination is new, and other comparisons report it.
    fn was_sent(&self, (at, end): (usize, &End), old: &Outbound<'_>) -> bool {
        let like = old.mappings.like(self.mappings.get(at));
        let mut operations = like.filter_map(|at| old.operations.get(at));
        operations.any(|one| one.ends.iter().any(|its| its.is_same(end)))
    }

    /// Destination of the requests of a mapping, a part of the requests that the operation at index
    /// `at` sends to `end`. `None` if another operation receives them.
    fn part(&self, (at, end): (usize, &End), mapping: &Mapping<'_>) -> Option<End> {
        let own = self.operations[at].place.method;
        let method = match own == end.method {
            true => mapping.method,
            false => &end.method,
        };
        let part = end.of_client_path(&mapping.path, method)?;
        (!self.is_separated((at, end), &part, None)).then_some(part)
    }
}

/// True if the mount of an operation shares a listener and a host with a mapping, and the operation
/// accepts the mapping's method.
fn receives(operation: &OutboundOperation<'_>, mapping: &Mapping<'_>) -> bool {
    let place = operation.place;
    let mut listeners = place.mount.listeners.iter();
    let mut hosts = place.mount.hosts.iter();
    method_contains(place.method, mapping.method)
        && listeners.any(|name| mapping.mount.listeners.contains(name))
        && (place.mount.hosts.is_empty() || hosts.any(|host| mapping.mount.hosts.contains(host)))
}
