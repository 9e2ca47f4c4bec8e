//! The `operationId`s of a document, for checking links. The ids are collected when the first link
//! is checked.

use std::cell::OnceCell;

use diag::NodeRef;
use rustc_hash::FxHashSet;

use super::reference::Resolver;

/// `operationId`s under `paths` and `webhooks`.
#[derive(Default)]
pub struct OperationIds<'a>(OnceCell<FxHashSet<&'a str>>);

impl<'a> OperationIds<'a> {
    /// Returns all ids. The first call collects the ids.
    pub fn all(&self, resolver: &Resolver<'a>) -> &FxHashSet<&'a str> {
        self.0.get_or_init(|| collected(resolver))
    }
}

fn collected<'a>(resolver: &Resolver<'a>) -> FxHashSet<&'a str> {
    let root = resolver.root();
    let of = |key: &str| root.get(key).and_then(|map| resolver.resolve(map));
    let items = ["paths", "webhooks"].into_iter().filter_map(of);
    let items = items.flat_map(NodeRef::entries);
    let items = items.filter_map(|(_, item)| resolver.resolve(item));
    let mut ids = FxHashSet::default();
    for item in items {
        let more = item.get("additionalOperations");
        let more = more.and_then(|more| resolver.resolve(more));
        for map in more.into_iter().chain([item]) {
            let operations = map
                .entries()
                .filter_map(|(_, value)| resolver.resolve(value));
            ids.extend(operations.filter_map(|operation| operation.get("operationId")?.as_str()));
        }
    }
    ids
}
