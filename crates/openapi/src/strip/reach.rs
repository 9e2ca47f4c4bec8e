//! Components that are still used after operations were removed.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use diag::{NodeId, NodeRef};

use super::entries::Removed;
use sources::project::files::percent_decoded;

/// Component: its kind (a key such as `schemas`, or a root key in Swagger 2.0) and its name.
type Name<'n> = (&'n str, &'n str);

/// Root keys of Swagger 2.0 that contain components.
const SWAGGER_KINDS: [&str; 4] = [
    "definitions",
    "parameters",
    "responses",
    "securityDefinitions",
];

/// Removes components that nothing uses any more: they were used only by removed operations.
/// `outside` contains the roots of other files, which may refer to this document.
pub(super) fn remove_unused<'n>(root: NodeRef<'n>, outside: &[NodeRef<'n>], removed: &mut Removed) {
    let components = components(root);
    let mut names: Names<'n> = BTreeMap::new();
    for (kind, map) in &components {
        let of_kind = map.entries().map(|(entry, value)| (&*entry.key, value));
        names.insert(kind, of_kind.collect());
    }
    let uses = Uses {
        root,
        names: &names,
    };
    let nothing = Removed::default();
    let referenced = uses.of_components(&nothing);
    // Keep components that nothing referred to before, with everything that they use.
    let own: Vec<NodeRef<'n>> = uses
        .all()
        .filter(|(name, _)| !referenced.contains(name))
        .map(|(_, node)| node)
        .collect();
    let before = uses.reached(&own, outside, &nothing);
    let after = uses.reached(&own, outside, removed);
    for (kind, map) in &components {
        let gone: Vec<&str> = map
            .entries()
            .map(|(entry, _)| &*entry.key)
            .filter(|name| before.contains(&(*kind, *name)) && !after.contains(&(*kind, *name)))
            .filter(|name| !names_itself(names[kind][name]))
            .collect();
        if !gone.is_empty() && gone.len() == map.entries().len() {
            let holder = root.get("components").filter(|it| it.get(kind).is_some());
            removed.add(holder.unwrap_or(root), kind);
        }
        gone.iter().for_each(|name| removed.add(*map, name));
    }
}

/// Maps of components, by kind.
fn components<'n>(root: NodeRef<'n>) -> Vec<(&'n str, NodeRef<'n>)> {
    let holder = root.get("components");
    let of_kind = |(entry, map): (&'n diag::tree::Entry, NodeRef<'n>)| (&*entry.key, map);
    match holder {
        Some(holder) => holder
            .entries()
            .map(of_kind)
            .filter(|(kind, map)| !kind.starts_with("x-") && map.is_map())
            .collect(),
        None => root
            .entries()
            .map(of_kind)
            .filter(|(kind, map)| SWAGGER_KINDS.contains(kind) && map.is_map())
            .collect(),
    }
}

/// True if a schema declares an identifier (such as `$id`). References may use the identifier, so
/// the schema is kept.
fn names_itself(node: NodeRef<'_>) -> bool {
    ["$id", "$anchor", "$dynamicAnchor"]
        .iter()
        .any(|key| node.get(key).is_some())
        || node.entries().any(|(_, value)| names_itself(value))
}

/// Components by kind and name.
type Names<'n> = BTreeMap<&'n str, BTreeMap<&'n str, NodeRef<'n>>>;

struct Uses<'n, 'a> {
    root: NodeRef<'n>,
    names: &'a Names<'n>,
}

/// Search for used components.
#[derive(Default)]
struct Search<'n> {
    found: BTreeSet<Name<'n>>,
    /// Components in `found` whose references were not collected yet.
    next: Vec<Name<'n>>,
    seen: HashSet<NodeId>,
}

impl<'n> Search<'n> {
    fn found(&mut self, name: Option<Name<'n>>) {
        let new = name.filter(|name| self.found.insert(*name));
        self.next.extend(new);
    }
}

impl<'n> Uses<'n, '_> {
    fn all(&self) -> impl Iterator<Item = (Name<'n>, NodeRef<'n>)> {
        let kinds = self.names.iter();
        kinds.flat_map(|(kind, names)| names.iter().map(|(name, node)| ((*kind, *name), *node)))
    }

    /// Components to which the document refers, including references from other components.
    fn of_components(&self, removed: &Removed) -> BTreeSet<Name<'n>> {
        let mut search = Search::default();
        self.outside_components(removed, &mut search);
        for (_, node) in self.all() {
            self.walk(node, removed, &mut search);
        }
        search.found
    }

    /// Components that are used, directly or indirectly, by the document outside its components, by
    /// `own`, or by `outside`.
    fn reached(
        &self,
        own: &[NodeRef<'n>],
        outside: &[NodeRef<'n>],
        removed: &Removed,
    ) -> BTreeSet<Name<'n>> {
        let mut search = Search::default();
        self.outside_components(removed, &mut search);
        for node in own.iter().chain(outside) {
            self.walk(*node, removed, &mut search);
        }
        loop {
            while let Some((kind, name)) = search.next.pop() {
                let node = self.names.get(kind).and_then(|names| names.get(name));
                if let Some(node) = node {
                    self.walk(*node, removed, &mut search);
                }
            }
            let children = self.children(&search.found);
            if children.is_empty() {
                return search.found;
            }
            children
                .into_iter()
                .for_each(|name| search.found(Some(name)));
        }
    }

    fn outside_components(&self, removed: &Removed, search: &mut Search<'n>) {
        let is_swagger = self.root.get("swagger").is_some();
        for (entry, value) in removed.left(self.root) {
            match &*entry.key {
                "components" => {}
                kind if is_swagger && SWAGGER_KINDS.contains(&kind) => {}
                "security" => self.schemes(value, search),
                _ => self.walk(value, removed, search),
            }
        }
    }

    /// Schemas that extend (`allOf`) a used schema with a `discriminator`. These schemas are used,
    /// because their names are possible values of the discriminator.
    fn children(&self, found: &BTreeSet<Name<'n>>) -> Vec<Name<'n>> {
        let is_child = |node: NodeRef<'n>| {
            let parents = node.get("allOf").into_iter().flat_map(NodeRef::items);
            parents
                .filter_map(|parent| parent.get("$ref")?.as_str())
                .filter_map(|text| self.name_of(text))
                .any(|parent| {
                    let node = self
                        .names
                        .get(parent.0)
                        .and_then(|names| names.get(parent.1));
                    found.contains(&parent)
                        && node.is_some_and(|node| node.get("discriminator").is_some())
                })
        };
        self.all()
            .filter(|(name, node)| !found.contains(name) && is_child(*node))
            .map(|(name, _)| name)
            .collect()
    }

    /// Collects all references inside a node. A string in an example that looks like a reference
    /// counts as well, so its component is kept.
    fn walk(&self, node: NodeRef<'n>, removed: &Removed, search: &mut Search<'n>) {
        if !search.seen.insert(node.id()) {
            return;
        }
        node.items()
            .for_each(|item| self.walk(item, removed, search));
        for (entry, value) in removed.left(node) {
            match &*entry.key {
                "$ref" | "$dynamicRef" | "operationRef" => {
                    search.found(value.as_str().and_then(|text| self.name_of(text)));
                }
                "mapping" => {
                    for (_, mapped) in value.entries() {
                        let text = mapped.as_str().unwrap_or_default();
                        search.found(self.name_of(text));
                        search.found(self.known("schemas", text));
                    }
                }
                "security" => self.schemes(value, search),
                _ => {}
            }
            self.walk(value, removed, search);
        }
    }

    /// Collects the security schemes named in a list of requirements.
    fn schemes(&self, requirements: NodeRef<'n>, search: &mut Search<'n>) {
        for (entry, _) in requirements.items().flat_map(NodeRef::entries) {
            search.found(self.known("securitySchemes", &entry.key));
            search.found(self.known("securityDefinitions", &entry.key));
            search.found(self.name_of(&entry.key));
        }
    }

    fn known(&self, kind: &str, name: &str) -> Option<Name<'n>> {
        let (kind, names) = self.names.get_key_value(kind)?;
        let (name, _) = names.get_key_value(name)?;
        Some((kind, name))
    }

    /// Returns the component into which a reference points (`#/components/schemas/A/properties/b`).
    /// Ignores the file name, so that references from other files count. `None` if the reference
    /// points to no component.
    fn name_of(&self, reference: &str) -> Option<Name<'n>> {
        let (_, pointer) = reference.split_once('#')?;
        let parts = pointer_parts(pointer)?;
        let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
        match parts[..] {
            ["components", kind, name, ..] | [kind, name, ..] => self.known(kind, name),
            _ => None,
        }
    }
}

/// Returns the decoded parts of a JSON pointer (RFC 6901) in a URI fragment. `None` if the text is
/// not a pointer.
fn pointer_parts(pointer: &str) -> Option<Vec<String>> {
    if pointer.is_empty() {
        return Some(Vec::new());
    }
    let rest = pointer.strip_prefix('/')?;
    let part = |part: &str| {
        let text = percent_decoded(part).unwrap_or_else(|| part.to_owned());
        text.replace("~1", "/").replace("~0", "~")
    };
    Some(rest.split('/').map(part).collect())
}

/// Node at a JSON pointer. `None` if the node does not exist.
pub(super) fn at_pointer<'n>(root: NodeRef<'n>, pointer: &str) -> Option<NodeRef<'n>> {
    let mut node = root;
    for part in pointer_parts(pointer)? {
        node = match node.is_list() {
            true => node.items().nth(part.parse().ok()?)?,
            false => node.get(&part)?,
        };
    }
    Some(node)
}

/// Target of a reference inside the document. `None` for other references.
pub(crate) fn local<'n>(root: NodeRef<'n>, reference: &str) -> Option<NodeRef<'n>> {
    at_pointer(root, reference.strip_prefix('#')?)
}

/// True if a reference inside the document points to or into an entry that is left out.
pub(super) fn is_gone(root: NodeRef<'_>, reference: &str, removed: &Removed) -> bool {
    let Some(parts) = reference.strip_prefix('#').and_then(pointer_parts) else {
        return false;
    };
    let mut node = root;
    for part in parts {
        if removed.has(node.id(), &part) {
            return true;
        }
        let next = match node.is_list() {
            true => part.parse().ok().and_then(|index| node.items().nth(index)),
            false => node.get(&part),
        };
        match next {
            Some(next) => node = next,
            None => return false,
        }
    }
    false
}

/// Returns the first remaining reference whose target is left out.
pub(super) fn dangling(root: NodeRef<'_>, removed: &Removed) -> Option<String> {
    let mut seen = HashSet::new();
    let mut waiting = vec![root];
    while let Some(node) = waiting.pop() {
        if !seen.insert(node.id()) {
            continue;
        }
        waiting.extend(node.items());
        for (entry, value) in removed.left(node) {
            if let ("$ref", Some(text)) = (&*entry.key, value.as_str())
                && is_gone(root, text, removed)
            {
                return Some(text.to_owned());
            }
            waiting.push(value);
        }
    }
    None
}
