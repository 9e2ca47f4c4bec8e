//! Changes to a document's tree by copy on write.

use std::collections::{BTreeSet, HashMap, HashSet};

use diag::tree::Entry;
use diag::{Kind, NodeId, NodeRef, Tree};

use super::target::Step;

/// Maximum depth of a document after an overlay was applied.
pub(super) const DEPTH_MAX: usize = 200;
/// Maximum number of values that one overlay may add or copy. A value that is added at several
/// places counts once per place. Without this limit, actions with wildcards over values that other
/// wildcards added could make the document grow without bound.
const CHANGES_MAX: usize = 1_000_000;

/// Document being changed.
pub(super) struct EditedDocument<'t> {
    tree: &'t mut Tree,
    root: NodeId,
    /// Nodes that only this document uses. Only these nodes are changed in place. All other nodes
    /// are copied first.
    own: HashSet<NodeId>,
    /// Positions of the keys of large maps, so that an action on each entry takes linear time in
    /// total.
    positions: HashMap<NodeId, HashMap<Box<str>, usize>>,
    changes: usize,
}

/// Minimum number of entries of a map whose key positions are kept.
const INDEXED_MIN: usize = 32;

/// Reason why a value cannot be merged.
#[derive(Debug)]
pub(super) enum Wrong {
    /// The update and the value at the target have different types, such as a list and a map.
    Mismatch { here: NodeId, update: NodeId },
    /// The update would append to a list that decides on access, which a reviewer may overlook.
    AppendsList {
        name: String,
        here: NodeId,
        update: NodeId,
    },
    /// The result would exceed a limit.
    TooLarge,
}

/// Lists to which an overlay must not append, because they decide on access.
const CLOSED_LISTS: [&str; 2] = ["security", "policies"];

impl<'t> EditedDocument<'t> {
    pub(super) fn new(tree: &'t mut Tree, root: NodeId) -> Self {
        Self {
            tree,
            root,
            own: HashSet::new(),
            positions: HashMap::new(),
            changes: 0,
        }
    }

    pub(super) fn root(&self) -> NodeId {
        self.root
    }

    pub(super) fn at(&self, id: NodeId) -> NodeRef<'_> {
        self.tree.at(id)
    }

    /// Number of values that were added or copied.
    pub(super) fn changes(&self) -> usize {
        self.changes
    }

    pub(super) fn find(&mut self, path: &[Step]) -> Option<NodeRef<'_>> {
        let mut node = self.root;
        for step in path {
            node = self.child(node, step)?;
        }
        Some(self.at(node))
    }

    /// Returns the child of a node at one step of a path.
    pub(super) fn child(&mut self, node: NodeId, step: &Step) -> Option<NodeId> {
        match (self.tree.at(node).kind(), step) {
            (Kind::Map(entries), Step::Key(key)) => {
                let at = match entries.len() {
                    0..INDEXED_MIN => entries.iter().position(|entry| entry.key == *key)?,
                    _ => {
                        let positions = self.positions.entry(node).or_insert_with(|| {
                            // Collect in reverse order. If several keys are equal, the first one
                            // remains.
                            let keys = entries.iter().enumerate().rev();
                            keys.map(|(at, entry)| (entry.key.clone(), at)).collect()
                        });
                        *positions.get(key)?
                    }
                };
                Some(entries.get(at)?.value)
            }
            (Kind::List(items), Step::Index(index)) => items.get(*index).copied(),
            _ => None,
        }
    }

    /// Merges `update` into the value at a path.
    pub(super) fn merge(&mut self, path: &[Step], update: NodeId) -> Result<(), Wrong> {
        let Some(target) = self.find(path).map(NodeRef::id) else {
            return Ok(());
        };
        if path.len() + height(self.at(update), DEPTH_MAX) > DEPTH_MAX {
            return Err(Wrong::TooLarge);
        }
        self.count(size(self.at(update), CHANGES_MAX))?;
        let name = match path.last() {
            Some(Step::Key(key)) => &**key,
            _ => "",
        };
        let whole = match (self.at(target).kind(), self.at(update).kind()) {
            (Kind::Map(_), Kind::Map(_)) => false,
            // If the update is a list, its items are appended to the target. Any other update is
            // appended to the target as one item.
            (Kind::List(_), Kind::List(_)) => false,
            (Kind::List(_), _) => {
                if CLOSED_LISTS.contains(&name) {
                    return Err(self.appends(name, target, update));
                }
                let own = self.copy_shared(path)?;
                if let Kind::List(items) = &mut self.tree.node_mut(own).kind {
                    items.push(update);
                }
                return Ok(());
            }
            (Kind::Map(_), _) | (_, Kind::Map(_) | Kind::List(_)) => {
                if !self.at(target).is_null() {
                    return Err(Wrong::Mismatch {
                        here: target,
                        update,
                    });
                }
                true
            }
            _ => true,
        };
        if !whole {
            let own = self.copy_shared(path)?;
            return self.merge_into(name, own, update);
        }
        let Some((last, parents)) = path.split_last() else {
            self.root = update;
            return Ok(());
        };
        let parent = self.copy_shared(parents)?;
        self.replace(parent, last, update);
        Ok(())
    }

    /// Merges `update` into a node that only this document uses. Both nodes are lists, or both are
    /// maps.
    fn merge_into(&mut self, name: &str, own: NodeId, update: NodeId) -> Result<(), Wrong> {
        let update_kind = self.at(update).kind().clone();
        match update_kind {
            Kind::List(added) => {
                if CLOSED_LISTS.contains(&name) && !added.is_empty() {
                    return Err(self.appends(name, own, update));
                }
                if let Kind::List(items) = &mut self.tree.node_mut(own).kind {
                    items.extend(added);
                }
            }
            Kind::Map(added) => {
                for entry in added {
                    let step = Step::Key(entry.key.clone());
                    let Some(here) = self.child(own, &step) else {
                        if let Kind::Map(entries) = &mut self.tree.node_mut(own).kind {
                            if let Some(positions) = self.positions.get_mut(&own) {
                                positions.insert(entry.key.clone(), entries.len());
                            }
                            entries.push(entry);
                        }
                        continue;
                    };
                    match (self.at(here).kind(), self.at(entry.value).kind()) {
                        (Kind::Map(_), Kind::Map(_)) | (Kind::List(_), Kind::List(_)) => {
                            let copy = self.copy_shared_child(own, &step, here)?;
                            self.merge_into(&entry.key, copy, entry.value)?;
                        }
                        (Kind::Map(_) | Kind::List(_), _) | (_, Kind::Map(_) | Kind::List(_))
                            if !self.at(here).is_null() =>
                        {
                            return Err(Wrong::Mismatch {
                                here,
                                update: entry.value,
                            });
                        }
                        _ => {
                            if let Some(old) = self.entry_mut(own, &entry.key) {
                                *old = entry;
                            }
                        }
                    }
                }
            }
            Kind::Null | Kind::Bool(_) | Kind::Number(_) | Kind::String(_) => {}
        }
        Ok(())
    }

    /// Removes members of a map, or items of a list.
    pub(super) fn remove(&mut self, parent: &[Step], steps: &BTreeSet<Step>) {
        let Ok(own) = self.copy_shared(parent) else {
            return;
        };
        self.positions.remove(&own);
        match &mut self.tree.node_mut(own).kind {
            Kind::Map(entries) => {
                entries.retain(|entry| !steps.contains(&Step::Key(entry.key.clone())));
            }
            Kind::List(items) => {
                let mut at = 0..;
                items.retain(|_| !at.next().is_some_and(|at| steps.contains(&Step::Index(at))));
            }
            Kind::Null | Kind::Bool(_) | Kind::Number(_) | Kind::String(_) => {}
        }
    }

    fn appends(&self, name: &str, here: NodeId, update: NodeId) -> Wrong {
        Wrong::AppendsList {
            name: name.to_owned(),
            here,
            update,
        }
    }

    /// Copies the node at a path and all nodes above it. Does not copy nodes that only this
    /// document uses.
    fn copy_shared(&mut self, path: &[Step]) -> Result<NodeId, Wrong> {
        if !self.own.contains(&self.root) {
            self.root = self.copy(self.root)?;
        }
        let mut node = self.root;
        for step in path {
            let Some(next) = self.child(node, step) else {
                return Ok(node);
            };
            node = self.copy_shared_child(node, step, next)?;
        }
        Ok(node)
    }

    fn copy_shared_child(
        &mut self,
        parent: NodeId,
        step: &Step,
        node: NodeId,
    ) -> Result<NodeId, Wrong> {
        if self.own.contains(&node) {
            return Ok(node);
        }
        let copy = self.copy(node)?;
        self.replace(parent, step, copy);
        Ok(copy)
    }

    fn copy(&mut self, node: NodeId) -> Result<NodeId, Wrong> {
        let (span, kind) = (self.at(node).span(), self.at(node).kind().clone());
        self.count(1)?;
        let copy = self.tree.push(span, kind);
        self.own.insert(copy);
        Ok(copy)
    }

    fn replace(&mut self, parent: NodeId, step: &Step, node: NodeId) {
        match step {
            Step::Key(key) => {
                if let Some(entry) = self.entry_mut(parent, key) {
                    entry.value = node;
                }
            }
            Step::Index(index) => {
                if let Kind::List(items) = &mut self.tree.node_mut(parent).kind
                    && let Some(item) = items.get_mut(*index)
                {
                    *item = node;
                }
            }
        }
    }

    /// Entry of a map with this key.
    fn entry_mut(&mut self, map: NodeId, key: &str) -> Option<&mut Entry> {
        let known = self.positions.get(&map);
        let known = known.and_then(|positions| positions.get(key)).copied();
        let Kind::Map(entries) = &mut self.tree.node_mut(map).kind else {
            return None;
        };
        match known {
            Some(at) => entries.get_mut(at),
            None => entries.iter_mut().find(|entry| *entry.key == *key),
        }
    }

    /// Marks a value and everything below it as shared, before the value is used in several places.
    /// A later change then copies the value first.
    pub(super) fn share(&mut self, id: NodeId) {
        // If a value is shared, all values below it are shared as well.
        if !self.own.remove(&id) {
            return;
        }
        let node = self.at(id);
        let values = node.entries().map(|(_, value)| value).chain(node.items());
        let below: Vec<NodeId> = values.map(NodeRef::id).collect();
        below.into_iter().for_each(|id| self.share(id));
    }

    fn count(&mut self, changes: usize) -> Result<(), Wrong> {
        self.changes += changes;
        if self.changes > CHANGES_MAX {
            return Err(Wrong::TooLarge);
        }
        Ok(())
    }
}

/// Depth of a value. Counting stops soon after the depth exceeds `most`.
pub(super) fn height(node: NodeRef<'_>, most: usize) -> usize {
    if most == 0 {
        return 1;
    }
    let entries = node.entries().map(|(_, value)| height(value, most - 1));
    let items = node.items().map(|value| height(value, most - 1));
    let below = entries.chain(items).max();
    below.map_or(0, |below| below + 1)
}

/// Number of nodes in a value, with aliases expanded. Counting stops soon after the number exceeds
/// `most`.
pub(super) fn size(node: NodeRef<'_>, most: usize) -> usize {
    let mut count = 1;
    let values = node.entries().map(|(_, value)| value);
    for value in values.chain(node.items()) {
        if count > most {
            break;
        }
        count += size(value, most - count.min(most));
    }
    count
}
