//! Labels that distinguish differences with equal ids, paths and operations: their media types or
//! alternatives of `oneOf` differ.

use std::collections::{BTreeMap, BTreeSet};

use crate::Change;

/// Adds a label to the subject of each change that has the id, subject and operations of another
/// change.
pub(super) fn add(changes: &mut [Change]) {
    let mut equal: BTreeMap<_, Vec<usize>> = BTreeMap::new();
    for (at, change) in changes.iter().enumerate() {
        let key = (change.id, &change.subject, &change.operations);
        equal.entry(key).or_default().push(at);
    }
    // Changes of several values at one path, such as removed values of `enum`, need no label.
    let groups = equal.into_values().filter(|group| {
        let mut within = group.iter().map(|at| &changes[*at].message);
        let first = within.next();
        within.any(|other| Some(other) != first)
    });
    let groups: Vec<Vec<usize>> = groups.collect();
    for group in groups {
        let mut number: BTreeMap<String, usize> = BTreeMap::new();
        let media: Vec<String> = group.iter().map(|at| media_types(&changes[*at])).collect();
        let within = |at: &usize| changes[*at].message.as_ref().map(|one| one.within.clone());
        let alternatives: BTreeSet<Option<String>> = group.iter().map(within).collect();
        let is_media_distinct = media.iter().collect::<BTreeSet<_>>().len() == alternatives.len();
        for (at, media) in group.into_iter().zip(media) {
            let next = number.len() + 1;
            let within = changes[at].message.as_ref();
            let within = within.map_or_else(String::new, |message| message.within.clone());
            let number = *number.entry(within).or_insert(next);
            let label = match is_media_distinct {
                true => media,
                false => format!("alternative {number}"),
            };
            changes[at].subject.push_str(&format!(" ({label})"));
        }
    }
}

/// Media types of the parts that contain the value.
fn media_types(change: &Change) -> String {
    let within = change.message.as_ref().map(|message| &*message.within);
    let lines = within.unwrap_or_default().lines();
    let parts = lines.take_while(|line| !line.is_empty());
    let types = parts.filter_map(|part| {
        let (rest, last) = part.rsplit_once(' ')?;
        (rest.ends_with("body") && last.contains('/')).then_some(last)
    });
    let mut types: Vec<&str> = types.collect();
    types.dedup();
    types.join(", ")
}
