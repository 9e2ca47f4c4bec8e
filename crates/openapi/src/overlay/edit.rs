//! Changes to a document's tree by copy on write.

use std::collections::HashSet;

use diag::{Kind, NodeId, NodeRef, Tree};

use super::child;
use super::target::Step;

/// Maximum depth of a document after an overlay was applied.
const DEPTH_MAX: usize = 200;
/// Maximum number of values that one overlay may add or copy. Each place counts, because an action
/// with a wildcard over values that another wildcard added would otherwise grow without bound.
const CHANGES_MAX: usize = 1_000_000;

/// Document being changed.
pub(super) struct Edited<'t> {
    tree: &'t mut Tree,
    root: NodeId,
    /// Nodes that only this document uses. Only these are changed in place; other nodes are copied
    /// first.
    own: HashSet<NodeId>,
    changes: usize,
}

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

impl<'t> Edited<'t> {
    pub(super) fn new(tree: &'t mut Tree, root: NodeId) -> Self {
        Self {
            tree,
            root,
            own: HashSet::new(),
            changes: 0,
        }
    }

    pub(super) fn root(&self) -> NodeId {
        self.root
    }

    pub(super) fn at(&self, id: NodeId) -> NodeRef<'_> {
        self.tree.at(id)
    }

    pub(super) fn find(&self, path: &[Step]) -> Option<NodeRef<'_>> {
        path.iter()
            .try_fold(self.at(self.root), |node, step| child(node, step))
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
            // A list as the update: its entries are appended to the target. Any other update of a
            // list is appended as one entry.
            (Kind::List(_), Kind::List(_)) => false,
            (Kind::List(_), _) => {
                if CLOSED_LISTS.contains(&name) {
                    return Err(self.appends(name, target, update));
                }
                let own = self.own(path)?;
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
            let own = self.own(path)?;
            return self.merge_into(name, own, update);
        }
        let Some((last, parents)) = path.split_last() else {
            self.root = update;
            return Ok(());
        };
        let parent = self.own(parents)?;
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
                    let here = self.at(own).get(&entry.key).map(NodeRef::id);
                    let Some(here) = here else {
                        if let Kind::Map(entries) = &mut self.tree.node_mut(own).kind {
                            entries.push(entry);
                        }
                        continue;
                    };
                    let step = Step::Key(entry.key.clone());
                    match (self.at(here).kind(), self.at(entry.value).kind()) {
                        (Kind::Map(_), Kind::Map(_)) | (Kind::List(_), Kind::List(_)) => {
                            let copy = self.own_child(own, &step, here)?;
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
                            if let Kind::Map(entries) = &mut self.tree.node_mut(own).kind
                                && let Some(old) =
                                    entries.iter_mut().find(|old| old.key == entry.key)
                            {
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

    /// Removes the value at a path from its list or map.
    pub(super) fn remove(&mut self, path: &[Step]) {
        let Some((last, parents)) = path.split_last() else {
            return;
        };
        if self.find(path).is_none() {
            return;
        }
        let Ok(parent) = self.own(parents) else {
            return;
        };
        match (&mut self.tree.node_mut(parent).kind, last) {
            (Kind::Map(entries), Step::Key(key)) => entries.retain(|entry| entry.key != *key),
            (Kind::List(items), Step::Index(index)) if *index < items.len() => {
                items.remove(*index);
            }
            _ => {}
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
    fn own(&mut self, path: &[Step]) -> Result<NodeId, Wrong> {
        if !self.own.contains(&self.root) {
            self.root = self.copy(self.root)?;
        }
        let mut node = self.root;
        for step in path {
            let Some(next) = child(self.at(node), step).map(NodeRef::id) else {
                return Ok(node);
            };
            node = self.own_child(node, step, next)?;
        }
        Ok(node)
    }

    fn own_child(&mut self, parent: NodeId, step: &Step, node: NodeId) -> Result<NodeId, Wrong> {
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
        match (&mut self.tree.node_mut(parent).kind, step) {
            (Kind::Map(entries), Step::Key(key)) => {
                if let Some(entry) = entries.iter_mut().find(|entry| entry.key == *key) {
                    entry.value = node;
                }
            }
            (Kind::List(items), Step::Index(index)) => {
                if let Some(item) = items.get_mut(*index) {
                    *item = node;
                }
            }
            _ => {}
        }
    }

    /// Marks a value and everything below it as shared, before the value is used in several places.
    /// A later change then copies it first.
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

/// Depth of a value. Counting stops soon after `most`.
fn height(node: NodeRef<'_>, most: usize) -> usize {
    if most == 0 {
        return 1;
    }
    let entries = node.entries().map(|(_, value)| height(value, most - 1));
    let items = node.items().map(|value| height(value, most - 1));
    let below = entries.chain(items).max();
    below.map_or(0, |below| below + 1)
}

/// Number of nodes in a value, with aliases expanded. Counting stops soon after `most`.
fn size(node: NodeRef<'_>, most: usize) -> usize {
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
