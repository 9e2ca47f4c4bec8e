//! Public form of an OpenAPI document, without the settings of the gateway.
//!
//! `x-gateway` keys, `internal` operations, and components and tags that only such operations use
//! are left out. The tree is not changed: [`Removed`] lists the entries to leave out, and
//! [`mod@write`] writes all others.

mod entries;
mod reach;
mod swagger;
mod unused;
pub mod write;

pub use entries::Removed;
pub(crate) use entries::operations;
pub(crate) use reach::local as resolved;

use std::collections::HashSet;

use diag::{FileId, NodeId, NodeRef};

use crate::lint::allow;
use crate::spec::objects::{DOCUMENT, LINK, Object, Others, PATH_ITEM, Type};
use entries::MapEntry;
use sources::project::files::{Document, Files};

/// Extension key of the gateway.
const KEY: &str = "x-gateway";

/// Prefix of extension keys that are private to the gateway.
const PRIVATE: &str = "x-gateway-ext-";

/// Result of [`strip`].
#[derive(Debug, Default)]
pub struct Stripped {
    /// Entries to leave out.
    pub removed: Removed,
    /// Internal operations that were left out, as `METHOD /path`.
    pub hidden: Vec<String>,
    /// Other files to which the document refers. These files are not changed.
    pub refers: Vec<String>,
}

/// Reason why a document cannot be made public.
#[derive(Debug, PartialEq, Eq)]
pub enum Unfit {
    /// A path item in another file has an internal operation, which this document cannot leave out.
    HiddenElsewhere {
        /// Path as written in the document.
        path: String,
        /// Name of the other file.
        file: String,
    },
    /// A remaining reference points to something that is left out.
    Dangling {
        /// Text of the reference.
        reference: String,
    },
}

/// Determines the entries to leave out. The files to which the document refers must be loaded
/// ([`Files::follow`]).
///
/// # Errors
/// Returns an error if leaving out entries is not enough to make the document public.
pub fn strip(files: &Files, document: &Document) -> Result<Stripped, Unfit> {
    let root = files.tree.at(document.root);
    let mut marks = Marks::default();
    if root.get("swagger").is_some() {
        swagger::mark(root, &mut marks);
    } else {
        marks.object(root, &DOCUMENT);
    }
    let mut stripped = Stripped::default();
    hide(files, document, &marks, &mut stripped)?;
    let elsewhere: Vec<FileId> = files
        .reached(document)
        .into_iter()
        .filter(|file| *file != document.file)
        .collect();
    stripped.refers = elsewhere
        .iter()
        .map(|file| files.sources.file(*file).path().to_owned())
        .collect();
    let outside: Vec<NodeRef<'_>> = elsewhere
        .iter()
        .filter_map(|file| Some(files.tree.at(files.root(*file)?)))
        .collect();
    let mut removed = std::mem::take(&mut stripped.removed);
    for (map, key) in &marks.keys {
        removed.add(*map, key);
    }
    unused::remove(root, &mut removed);
    reach::remove_unused(root, &outside, &mut removed);
    links(root, &marks.links, &mut removed);
    if let Some(reference) = reach::dangling(root, &removed) {
        return Err(Unfit::Dangling { reference });
    }
    stripped.removed = removed;
    Ok(stripped)
}

/// Gateway keys, path items and links of a document, found by walking its objects.
#[derive(Default)]
struct Marks<'n> {
    /// Extension keys of the gateway, with their maps.
    keys: Vec<(NodeRef<'n>, &'n str)>,
    /// Path items in document order.
    path_items: Vec<MapEntry<'n>>,
    /// Links in document order.
    links: Vec<MapEntry<'n>>,
    seen: HashSet<(NodeId, usize)>,
}

/// True if a key is an extension key of the gateway, which the public form leaves out.
fn is_own(key: &str) -> bool {
    key == KEY || key == allow::KEY || key.starts_with(PRIVATE)
}

impl<'n> Marks<'n> {
    fn value(&mut self, node: NodeRef<'n>, ty: &'static Type) {
        match ty {
            Type::List(item) => node.items().for_each(|one| self.value(one, item)),
            Type::Map(_, ty) => {
                for (entry, value) in node.entries() {
                    self.record_entry(node, &entry.key, value, ty);
                }
            }
            Type::Object(object) | Type::BoolOr(object) => self.object(node, object),
            Type::Any
            | Type::Text
            | Type::Bool
            | Type::Number
            | Type::Positive
            | Type::Count
            | Type::Word(_)
            | Type::WordOf30(_)
            | Type::Words(_) => {}
        }
    }

    /// Records a map entry if its value is a path item or a link.
    fn record_entry(
        &mut self,
        map: NodeRef<'n>,
        key: &'n str,
        value: NodeRef<'n>,
        ty: &'static Type,
    ) {
        let item = MapEntry { map, key, value };
        match ty {
            Type::Object(object) if std::ptr::eq(*object, &raw const PATH_ITEM) => {
                self.path_items.push(item);
            }
            Type::Object(object) if std::ptr::eq(*object, &raw const LINK) => self.links.push(item),
            _ => {}
        }
        self.value(value, ty);
    }

    fn object(&mut self, node: NodeRef<'n>, object: &'static Object) {
        let named = std::ptr::from_ref(object) as usize;
        if !node.is_map() || !self.seen.insert((node.id(), named)) {
            return;
        }
        for (entry, value) in node.entries() {
            let key = &*entry.key;
            if let Some(field) = object.fields.iter().find(|field| field.key == key) {
                self.value(value, &field.ty);
            } else if is_own(key) {
                self.keys.push((node, key));
            } else if let Others::Map(_, ty) = &object.others
                && !key.starts_with("x-")
            {
                self.record_entry(node, key, value, ty);
            }
        }
    }
}

/// True if an operation is internal. To be safe, any value of `internal` except `false` and `null`
/// counts, including variables and invalid values.
fn is_internal(operation: NodeRef<'_>) -> bool {
    let internal = operation
        .get(KEY)
        .and_then(|settings| settings.get("internal"));
    internal.is_some_and(|internal| !internal.is_null() && internal.as_bool() != Some(false))
}

fn hide(
    files: &Files,
    document: &Document,
    marks: &Marks<'_>,
    stripped: &mut Stripped,
) -> Result<(), Unfit> {
    let root = files.tree.at(document.root);
    for item in &marks.path_items {
        elsewhere(files, document, item)?;
        let all = operations(item.value);
        let hidden: Vec<&MapEntry<'_>> = all
            .iter()
            .filter(|operation| is_internal(operation.value))
            .collect();
        for operation in &hidden {
            stripped.removed.add(operation.map, operation.key);
            let method = operation.key.to_uppercase();
            stripped.hidden.push(format!("{method} {}", item.key));
        }
        if !hidden.is_empty() && hidden.len() == all.len() {
            stripped.removed.add(item.map, item.key);
        }
    }
    // Also remove path items whose `$ref` points to a path item without remaining operations.
    for item in &marks.path_items {
        let target = item.value.get("$ref").and_then(NodeRef::as_str);
        let Some(target) = target.and_then(|text| reach::local(root, text)) else {
            continue;
        };
        let gone = |one: &MapEntry<'_>| {
            one.value.id() == target.id() && stripped.removed.has(one.map.id(), one.key)
        };
        if operations(item.value).is_empty() && marks.path_items.iter().any(gone) {
            stripped.removed.add(item.map, item.key);
        }
    }
    stripped.hidden.dedup();
    Ok(())
}

/// Checks that a path item does not refer to another file with internal operations.
fn elsewhere(files: &Files, document: &Document, item: &MapEntry<'_>) -> Result<(), Unfit> {
    let Some(reference) = item.value.get("$ref").and_then(NodeRef::as_str) else {
        return Ok(());
    };
    if reference.starts_with('#') {
        return Ok(());
    }
    let base = document.base(item.value.span().file);
    let (name, pointer) = reference.split_once('#').unwrap_or((reference, ""));
    let Ok(file) = files.referred(base, name) else {
        return Ok(());
    };
    let target = files
        .root(file)
        .and_then(|root| reach::at_pointer(files.tree.at(root), pointer));
    match target {
        Some(target) if operations(target).iter().any(|one| is_internal(one.value)) => {
            Err(Unfit::HiddenElsewhere {
                path: item.key.to_owned(),
                file: files.sources.file(file).path().to_owned(),
            })
        }
        Some(_) | None => Ok(()),
    }
}

/// Removes links to operations that are left out.
fn links(root: NodeRef<'_>, links: &[MapEntry<'_>], removed: &mut Removed) {
    let mut ids: HashSet<&str> = HashSet::new();
    let mut left: HashSet<&str> = HashSet::new();
    for (_, item) in root.get("paths").into_iter().flat_map(NodeRef::entries) {
        for operation in operations(item) {
            let Some(id) = operation.value.get("operationId").and_then(NodeRef::as_str) else {
                continue;
            };
            ids.insert(id);
        }
    }
    if let Some(paths) = root.get("paths") {
        for (_, item) in removed.left(paths) {
            for operation in operations(item) {
                if removed.has(operation.map.id(), operation.key) {
                    continue;
                }
                left.extend(operation.value.get("operationId").and_then(NodeRef::as_str));
            }
        }
    }
    loop {
        let mut more = Vec::new();
        for item in links {
            if removed.has(item.map.id(), item.key) {
                continue;
            }
            let text = |key: &str| item.value.get(key).and_then(NodeRef::as_str);
            let by_id =
                text("operationId").is_some_and(|id| ids.contains(id) && !left.contains(id));
            let by_reference = [text("operationRef"), text("$ref")]
                .into_iter()
                .flatten()
                .any(|reference| reach::is_gone(root, reference, removed));
            if by_id || by_reference {
                more.push(*item);
            }
        }
        if more.is_empty() {
            return;
        }
        more.iter().for_each(|item| removed.add(item.map, item.key));
    }
}
