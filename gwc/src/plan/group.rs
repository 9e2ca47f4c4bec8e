//! Equal changes of several operations are one line; each line gets its places.

use super::{Change, Class, Plan, Section};
use crate::source_map::SourceMap;

/// Equal changes of several operations become one; the order is section, class, then the first
/// operation's key.
pub(super) fn group(changes: Vec<Change>) -> Vec<Change> {
    let mut grouped: Vec<Change> = Vec::new();
    let mut known: std::collections::HashMap<
        (Section, Class, &'static str, String, String, String),
        usize,
    > = std::collections::HashMap::new();
    for change in changes {
        // Routes are told one by one: each is another set of requests.
        let alone = change.section == Section::Routing
            || change.section == Section::Docs
            || change.operation.is_none();
        let key = (
            change.section,
            change.class,
            change.id,
            change.subject.clone(),
            change.old.to_string(),
            change.new.to_string(),
        );
        match known.get(&key).filter(|_| !alone) {
            Some(index) => {
                let first: &mut Change = &mut grouped[*index];
                if !first.operations.contains(&change.operations[0]) {
                    first.operations.extend(change.operations);
                }
            }
            None => {
                known.insert(key, grouped.len());
                grouped.push(change);
            }
        }
    }
    for change in &mut grouped {
        change.operations.sort();
        *change = change.clone().named();
    }
    grouped.sort_by(|a, b| {
        (a.section, a.class, &a.operations, &a.subject, a.id).cmp(&(
            b.section,
            b.class,
            &b.operations,
            &b.subject,
            b.id,
        ))
    });
    grouped
}

/// Where the old and the new value of each change were written.
pub(super) fn add_places(plan: &mut Plan, old: Option<&SourceMap>, new: Option<&SourceMap>) {
    let place = |map: Option<&SourceMap>, change: &Change| {
        let map = map?;
        match &change.operation {
            Some(operation) => {
                let written = map.operations.get(&operation.key)?;
                match written.fields.get(&change.subject) {
                    Some(crate::source_map::FieldSource::Written { place, .. }) => {
                        Some(place.clone())
                    }
                    _ => Some(written.place.clone()),
                }
            }
            None => map.definitions.get(&change.subject).cloned(),
        }
    };
    for change in &mut plan.changes {
        change.source_old = place(old, change);
        change.source_new = place(new, change);
    }
}
