//! Entries of a document: those that the public form leaves out, and the operations of path items.

use std::collections::{HashMap, HashSet};

use diag::{NodeId, NodeRef};

use crate::spec::objects::{OPERATION, PATH_ITEM, Type};

/// Map entries that are left out, by map and key, and list items that are left out.
#[derive(Debug, Default)]
pub struct Removed {
    entries: HashMap<NodeId, HashSet<Box<str>>>,
    items: HashSet<NodeId>,
}

impl Removed {
    /// True if an entry is removed.
    #[must_use]
    pub fn has(&self, map: NodeId, key: &str) -> bool {
        self.entries
            .get(&map)
            .is_some_and(|keys| keys.contains(key))
    }

    pub(super) fn add(&mut self, map: NodeRef<'_>, key: &str) {
        self.entries.entry(map.id()).or_default().insert(key.into());
    }

    pub(super) fn add_item(&mut self, item: NodeRef<'_>) {
        self.items.insert(item.id());
    }

    /// Returns the items of a list that are kept.
    pub fn items<'n>(&self, list: NodeRef<'n>) -> impl Iterator<Item = NodeRef<'n>> {
        list.items()
            .filter(move |item| !self.items.contains(&item.id()))
    }

    /// Returns the entries of a map that are kept.
    pub fn left<'n>(
        &self,
        map: NodeRef<'n>,
    ) -> impl Iterator<Item = (&'n diag::tree::Entry, NodeRef<'n>)> {
        map.entries()
            .filter(move |(entry, _)| !self.has(map.id(), &entry.key))
    }
}

/// Entry of a map, with the map.
#[derive(Clone, Copy)]
pub(crate) struct MapEntry<'n> {
    pub(crate) map: NodeRef<'n>,
    pub(crate) key: &'n str,
    pub(crate) value: NodeRef<'n>,
}

/// Returns the operations of a path item.
pub(crate) fn operations<'n>(item: NodeRef<'n>) -> Vec<MapEntry<'n>> {
    let is_method = |key: &str| {
        PATH_ITEM.fields.iter().any(|field| {
            field.key == key
                && matches!(field.ty, Type::Object(object) if std::ptr::eq(object, &raw const OPERATION))
        })
    };
    let own = item
        .entries()
        .filter(|(entry, _)| is_method(&entry.key))
        .map(|(entry, value)| MapEntry {
            map: item,
            key: &entry.key,
            value,
        });
    let more = item.get("additionalOperations");
    let more = more.into_iter().flat_map(|map| {
        map.entries().map(move |(entry, value)| MapEntry {
            map,
            key: &entry.key,
            value,
        })
    });
    own.chain(more).collect()
}
