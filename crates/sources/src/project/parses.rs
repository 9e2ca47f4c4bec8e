//! Cache of parsed files, which the next compilation with changed texts reuses.
//!
//! A language server compiles a project again after each key press. A file with an unchanged text
//! keeps its nodes, and shares them with the earlier compilation. For a file with a small change,
//! [`Splice`] changes the nodes. Files with findings about their text, such as malformed files, are
//! parsed again.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use diag::tree::Node;
use diag::{FileId, Kind, NodeId, Sources, Tree};

use super::percent::percent_decoded;
use super::{LINT_KEY, key_material};
use crate::syntax::Limits;
use crate::syntax::splice::{Known, Splice};

/// Parsed files by path. All threads of a compilation share this cache.
#[derive(Default)]
pub struct Parses {
    files: Mutex<BTreeMap<String, ParsedFile>>,
}

/// Parsed file that has no findings about its text.
pub(super) struct ParsedFile {
    pub(super) text: Arc<str>,
    pub(super) file: FileId,
    /// Id of the first node. `nodes[i]` has the id `first + i`.
    pub(super) first: NodeId,
    pub(super) root: NodeId,
    pub(super) nodes: Arc<Vec<Node>>,
    /// True if a node may have several parents, so that [`Splice`] cannot change the nodes.
    pub(super) is_shared: bool,
    pub(super) names: Names,
    /// Copy of `nodes` that no compilation uses. The next change of the text edits this copy in
    /// place, which saves copying the nodes while the editor waits.
    pub(super) spare: Option<Vec<Node>>,
    /// True if the text has changed since the file was first read.
    pub(super) is_edited: bool,
}

/// References in a file to other files, and the presence of keys that other files or rules depend
/// on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Names {
    /// Paths or URLs of other files to which the file refers, decoded and sorted.
    pub(super) files: Vec<String>,
    /// True if the file contains `x-gateway-lint`.
    pub(super) allows: bool,
    /// True if a schema in the file has `$id`, `$anchor` or `$dynamicAnchor`.
    pub(super) identifies: bool,
}

/// Id of a file, and the id of its first node, in a compilation.
#[derive(Clone, Copy)]
pub(super) struct Place {
    pub(super) file: FileId,
    pub(super) first: NodeId,
}

impl Parses {
    /// Returns the nodes, the root node and the names of a file with this text. `None` if the file
    /// must be parsed.
    pub(super) fn parsed(
        &self,
        path: &str,
        text: &Arc<str>,
        place: Place,
        limits: &Limits,
    ) -> Option<(Tree, NodeId, Names)> {
        let mut files = self.lock();
        let kept = files.get_mut(path)?;
        kept.move_to(place);
        if !(Arc::ptr_eq(&kept.text, text) || kept.text == *text) {
            let is_whole = kept.change(text, limits)?;
            if !is_whole {
                // The changed part contains key material, which needs findings. Parse the whole
                // file.
                files.remove(path);
                return None;
            }
        }
        let kept = files.get(path)?;
        let tree = Tree::of_nodes(kept.first, Arc::clone(&kept.nodes));
        Some((tree, kept.root, kept.names.clone()))
    }

    /// Adds a parsed file to the cache.
    pub(super) fn keep(&self, path: &str, mut kept: ParsedFile) {
        let mut files = self.lock();
        kept.is_edited = files.contains_key(path);
        files.insert(path.to_owned(), kept);
    }

    /// Prepares the next change of edited files by copying their nodes. Takes time, so call this
    /// while no request waits. Removes files that the last compilation did not read.
    pub fn prepare(&self, read: &Sources) {
        let paths: BTreeSet<&str> = read.iter().map(|(_, file)| file.path()).collect();
        let mut edited = Vec::new();
        {
            let mut files = self.lock();
            files.retain(|path, _| paths.contains(&**path));
            let missing = files
                .iter()
                .filter(|(_, kept)| kept.is_edited && !kept.is_shared && kept.spare.is_none());
            edited.extend(missing.map(|(path, kept)| (path.clone(), Arc::clone(&kept.nodes))));
        }
        for (path, nodes) in edited {
            let copy = (*nodes).clone();
            if let Some(kept) = self.lock().get_mut(&path)
                && Arc::ptr_eq(&kept.nodes, &nodes)
            {
                kept.spare = Some(copy);
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, ParsedFile>> {
        self.files.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ParsedFile {
    /// Changes the file id and the node ids to those of another compilation.
    fn move_to(&mut self, place: Place) {
        let Place { file, first } = place;
        if self.file == file && self.first == first {
            return;
        }
        let mut nodes = self.own_nodes();
        let moved = |id: NodeId| NodeId(id.0 - self.first.0 + first.0);
        for node in &mut nodes {
            node.span.file = file;
            match &mut node.kind {
                Kind::List(items) => items.iter_mut().for_each(|id| *id = moved(*id)),
                Kind::Map(entries) => entries.iter_mut().for_each(|entry| {
                    entry.value = moved(entry.value);
                    entry.key_span.file = file;
                }),
                Kind::Null | Kind::Bool(_) | Kind::Number(_) | Kind::String(_) => {}
            }
        }
        self.root = moved(self.root);
        self.nodes = Arc::new(nodes);
        (self.file, self.first) = (file, first);
    }

    /// Changes the nodes to those of a new text. `None` if the text must be parsed as a whole.
    /// False if the changed part contains key material.
    fn change(&mut self, text: &Arc<str>, limits: &Limits) -> Option<bool> {
        if self.is_shared {
            return None;
        }
        let known = Known {
            text: &self.text,
            file: self.file,
            first: self.first,
            root: self.root,
            nodes: &self.nodes,
        };
        let splice = Splice::find(&known, text, limits)?;
        let mut nodes = self.own_nodes();
        self.root = splice.apply(&mut nodes, self.first, self.root);
        self.nodes = Arc::new(nodes);
        self.text = Arc::clone(text);
        self.is_edited = true;
        let tree = Tree::of_nodes(self.first, Arc::clone(&self.nodes));
        let changed = splice.changed(&self.nodes, self.first);
        let is_whole = !key_material::is_any(changed.map(|id| tree.at(id)));
        self.names = Names::of(&tree);
        Some(is_whole)
    }

    /// Returns a copy of the nodes that can be changed in place.
    fn own_nodes(&mut self) -> Vec<Node> {
        let spare = self.spare.take();
        spare.unwrap_or_else(|| (*self.nodes).clone())
    }
}

// === impl Names ===

impl Names {
    /// Collects the names in a file's nodes.
    pub(super) fn of(tree: &Tree) -> Self {
        let mut names: Vec<String> = Vec::new();
        let mut name = |text: &str| {
            if !text.starts_with('#') {
                let name = text.split('#').next().unwrap_or_default();
                names.push(percent_decoded(name).unwrap_or_else(|| name.to_owned()));
            }
        };
        let (mut allows, mut identifies) = (false, false);
        for node in tree.nodes() {
            for (entry, value) in node.entries() {
                match &*entry.key {
                    "$ref" | "$dynamicRef" | "operationRef" => {
                        value.as_str().into_iter().for_each(&mut name)
                    }
                    "mapping" if node.get("propertyName").is_some() => {
                        // Each value of a discriminator's `mapping` may refer to a file with a
                        // schema.
                        let mapped = value.entries().filter_map(|(_, value)| value.as_str());
                        mapped.for_each(&mut name);
                    }
                    "$id" | "$anchor" | "$dynamicAnchor" => identifies = true,
                    LINT_KEY => allows = true,
                    _ => {}
                }
            }
        }
        names.sort_unstable();
        names.dedup();
        Self {
            files: names,
            allows,
            identifies,
        }
    }
}
