//! Tags and the default security requirement that only removed operations used.

use std::collections::HashSet;

use diag::NodeRef;

use super::entries::{Removed, operations};

/// Names of the tags of removed operations, and of the tags of kept operations.
#[derive(Default)]
struct Tags<'n> {
    of_removed: HashSet<&'n str>,
    of_kept: HashSet<&'n str>,
}

/// Removes the root tags that only removed operations have, also from `x-tagGroups`. Removes the
/// root `security` if only removed operations inherit it.
pub(super) fn remove(root: NodeRef<'_>, removed: &mut Removed) {
    let mut tags = Tags::default();
    let (mut removed_inherits, mut kept_inherits) = (false, false);
    let components = root.get("components");
    let maps = [
        root.get("paths"),
        root.get("webhooks"),
        components.and_then(|components| components.get("pathItems")),
    ];
    for (_, item) in maps.into_iter().flatten().flat_map(NodeRef::entries) {
        for operation in operations(item) {
            let is_removed = removed.has(operation.map.id(), operation.key);
            let inherits = operation.value.get("security").is_none();
            let (names, any_inherits) = match is_removed {
                true => (&mut tags.of_removed, &mut removed_inherits),
                false => (&mut tags.of_kept, &mut kept_inherits),
            };
            collect(operation.value, names);
            *any_inherits |= inherits;
        }
    }
    remove_tags(root, &tags, removed);
    if removed_inherits && !kept_inherits && root.get("security").is_some() {
        removed.add(root, "security");
    }
}

/// Collects the tags of an operation and of its callbacks.
fn collect<'n>(operation: NodeRef<'n>, names: &mut HashSet<&'n str>) {
    let tags = operation.get("tags").into_iter().flat_map(NodeRef::items);
    names.extend(tags.filter_map(NodeRef::scalar_text));
    let callbacks = operation.get("callbacks").into_iter();
    let callbacks = callbacks.flat_map(NodeRef::entries).map(|(_, node)| node);
    for (_, item) in callbacks.flat_map(NodeRef::entries) {
        for operation in operations(item) {
            collect(operation.value, names);
        }
    }
}

fn remove_tags(root: NodeRef<'_>, names: &Tags<'_>, removed: &mut Removed) {
    let Some(tags) = root.get("tags") else { return };
    let mut gone: HashSet<&str> = names
        .of_removed
        .difference(&names.of_kept)
        .copied()
        .collect();
    // Keep the parents (OpenAPI 3.2) of tags that are kept.
    loop {
        let kept = tags.items().filter(|tag| {
            let name = text(*tag, "name");
            name.is_none_or(|name| !gone.contains(name))
        });
        let parents: Vec<&str> = kept.filter_map(|tag| text(tag, "parent")).collect();
        let before = gone.len();
        gone.retain(|name| !parents.contains(name));
        if gone.len() == before {
            break;
        }
    }
    let is_gone = |tag: &NodeRef<'_>| text(*tag, "name").is_some_and(|name| gone.contains(name));
    for tag in tags.items().filter(is_gone) {
        removed.add_item(tag);
    }
    if tags.items().next().is_some() && removed.items(tags).next().is_none() {
        removed.add(root, "tags");
    }
    let groups = root.get("x-tagGroups").into_iter().flat_map(NodeRef::items);
    let members = groups.filter_map(|group| group.get("tags"));
    for member in members.flat_map(NodeRef::items) {
        if member.scalar_text().is_some_and(|name| gone.contains(name)) {
            removed.add_item(member);
        }
    }
}

/// Text of a key of a tag. `None` if there is none.
fn text<'n>(tag: NodeRef<'n>, key: &str) -> Option<&'n str> {
    tag.get(key).and_then(NodeRef::scalar_text)
}
