//! References: `$ref` to a place in the same file or in another file.
//!
//! A reference is relative to the file that contains it, or to the enclosing schema with an `$id`.
//! A reference in an overlay is relative to the document that the overlay changes. The fragment is
//! a percent-encoded JSON pointer (RFC 6901) or the anchor of a schema. URLs are never fetched. A
//! URL resolves only if a schema or document in the project declares it as its own.

use std::cell::{Cell, OnceCell, RefCell};
use std::collections::{HashMap, HashSet};

use diag::suggest;
use diag::{FileId, NodeId, NodeRef};
use rustc_hash::FxHashMap;

use super::identity::Identities;
use super::lift::MOVED;
use sources::project::files::{Document, Files, Refusal, percent_decoded};

/// Maximum length of a chain of references. Longer chains are refused.
pub const HOPS_MAX: usize = 64;
/// Minimum number of entries of a map whose keys are indexed.
const LARGE: usize = 64;
/// Maximum number of "did you mean?" suggestions per document, because comparing names is slow.
const SUGGESTIONS_MAX: u32 = 100;

/// Resolver of the references of one document. Caches the target of each reference text in each
/// file.
pub struct Resolver<'a> {
    files: &'a Files,
    document: &'a Document,
    found: RefCell<Found<'a>>,
    /// End of the chain of references that begins at each node.
    ends: RefCell<FxHashMap<NodeId, End>>,
    /// Entries of large maps by key.
    indexes: RefCell<HashMap<NodeId, HashMap<&'a str, NodeId>>>,
    identities: OnceCell<Identities<'a>>,
    suggestions: Cell<u32>,
}

/// Targets, by file, embedded schema resource, and reference text.
type Found<'a> = HashMap<(FileId, Option<NodeId>, &'a str), Result<NodeId, Fault>>;

/// End of a chain of references.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// The chain ends at this value, after this number of references.
    Value(NodeId, usize),
    /// The chain is circular and contains this node.
    Circle(NodeId),
    /// The chain ends at an unresolvable reference.
    Broken,
}

/// Reason why a reference cannot be resolved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The file was not read. The string is its name as written.
    File(Refusal, String),
    /// The file cannot be parsed. Findings in that file give the reason.
    Unparsed(FileId),
    /// The fragment is not a valid JSON pointer. The string is the fragment.
    BadPointer(String),
    /// The pointer has no target.
    NotFound {
        /// File that was searched.
        file: FileId,
        /// Last value that the pointer reaches.
        reached: NodeId,
        /// Next part of the pointer, which `reached` does not have.
        part: String,
        /// Suggested text, if any.
        help: Option<String>,
    },
}

impl<'a> Resolver<'a> {
    /// Creates a resolver for a document whose files were loaded by [`Files::follow`].
    #[must_use]
    pub fn new(files: &'a Files, document: &'a Document) -> Self {
        Self {
            files,
            document,
            found: RefCell::default(),
            ends: RefCell::default(),
            indexes: RefCell::default(),
            identities: OnceCell::new(),
            suggestions: Cell::new(SUGGESTIONS_MAX),
        }
    }

    /// Files of the project.
    #[must_use]
    pub fn files(&self) -> &'a Files {
        self.files
    }

    /// Document whose references are resolved.
    #[must_use]
    pub fn document(&self) -> &'a Document {
        self.document
    }

    /// Root node of the document.
    #[must_use]
    pub fn root(&self) -> NodeRef<'a> {
        self.node(self.document.root)
    }

    /// Returns a node of the tree.
    #[must_use]
    pub fn node(&self, id: NodeId) -> NodeRef<'a> {
        self.files.tree.at(id)
    }

    /// Resolves a node to its value: the node itself, or the end of its chain of references. `None`
    /// if the chain is broken or circular, which [`crate::check`] reports.
    #[must_use]
    pub fn resolve(&self, node: NodeRef<'a>) -> Option<NodeRef<'a>> {
        match self.end(node) {
            End::Value(id, hops) if hops <= HOPS_MAX => Some(self.node(id)),
            End::Value(..) | End::Circle(_) | End::Broken => None,
        }
    }

    /// Returns the end of the chain of references that begins at a node. The result of each node is
    /// cached.
    pub(crate) fn end(&self, node: NodeRef<'a>) -> End {
        let mut passed: Vec<NodeId> = Vec::new();
        let mut visited: HashSet<NodeId> = HashSet::new();
        if reference(node).is_none() {
            return End::Value(node.id(), 0);
        }
        let mut node = node;
        let mut end = loop {
            if let Some(known) = self.ends.borrow().get(&node.id()) {
                break *known;
            }
            let Some(reference) = reference(node) else {
                break End::Value(node.id(), 0);
            };
            if !visited.insert(node.id()) {
                break End::Circle(node.id());
            }
            passed.push(node.id());
            match self.target(reference) {
                Ok(target) => node = target,
                Err(_) => break End::Broken,
            }
        };
        let mut ends = self.ends.borrow_mut();
        for id in passed.into_iter().rev() {
            if let End::Value(_, hops) = &mut end {
                *hops += 1;
            }
            ends.insert(id, end);
        }
        end
    }

    /// Returns the direct target of a `$ref` text, which may itself be a reference.
    pub fn target(&self, reference: NodeRef<'a>) -> Result<NodeRef<'a>, Fault> {
        self.target_within(reference, HOPS_MAX)
    }

    fn target_within(&self, reference: NodeRef<'a>, hops: usize) -> Result<NodeRef<'a>, Fault> {
        let text = reference.as_str().unwrap_or_default();
        let base = self.document.base(reference.span().file);
        let within = self.identities().embedded(reference.id());
        let known = self.found.borrow().get(&(base, within, text)).cloned();
        let found = known.unwrap_or_else(|| {
            // Try the file as well, because many schemas have an `$id` and still refer to the root
            // of the file.
            let found = match within.map(|resource| self.find_within(base, resource, text, hops)) {
                Some(Ok(found)) => Ok(found),
                Some(Err(_)) | None => self.find(base, text, hops),
            };
            let mut all = self.found.borrow_mut();
            all.insert((base, within, text), found.clone());
            found
        });
        found.map(|id| self.node(id))
    }

    /// Resolves a reference inside an embedded schema resource.
    fn find_within(
        &self,
        base: FileId,
        resource: NodeId,
        text: &'a str,
        hops: usize,
    ) -> Result<NodeId, Fault> {
        let (path, fragment) = text.split_once('#').unwrap_or((text, ""));
        let found = self.identities().resource(resource, path);
        let named = found.or(path.is_empty().then_some(resource));
        let Some(root) = named else {
            return Err(Fault::File(Refusal::Missing, path.to_owned()));
        };
        self.part(base, root, fragment, hops)
    }

    /// Target of a `$dynamicRef` (2020-12 core §8.2.3.2). `scope` contains the schema resources
    /// entered so far, outermost first.
    #[must_use]
    pub fn dynamic_target(&self, reference: NodeRef<'a>, scope: &[NodeId]) -> Option<NodeRef<'a>> {
        let target = self.target(reference).ok()?;
        let (_, name) = reference.as_str()?.split_once('#')?;
        let anchored = target.get("$dynamicAnchor").and_then(NodeRef::as_str);
        if anchored != Some(name) {
            return Some(target);
        }
        let mut outermost = scope.iter();
        let found = outermost.find_map(|at| self.identities().dynamic_anchor(*at, name));
        Some(found.map_or(target, |id| self.node(id)))
    }

    /// Returns the schema resource of a schema: the nearest enclosing schema with an `$id`, or the
    /// root of the file. If no schema has a dynamic anchor, always returns the root of the
    /// document.
    #[must_use]
    pub fn resource(&self, schema: NodeRef<'a>) -> NodeId {
        if !self.identities().is_dynamic() {
            return self.document.root;
        }
        let embedded = self.identities().embedded(schema.id());
        embedded.unwrap_or_else(|| {
            let file = self.document.base(schema.span().file);
            self.root_of(file).unwrap_or(self.document.root)
        })
    }

    fn find(&self, base: FileId, text: &'a str, hops: usize) -> Result<NodeId, Fault> {
        let (path, fragment) = text.split_once('#').unwrap_or((text, ""));
        let (file, root) = if path.is_empty() {
            (base, self.root_of(base)?)
        } else {
            match self.other_file(base, path) {
                Ok(file) => (file, self.root_of(file)?),
                Err(fault) => {
                    let here = self.root_of(base)?;
                    match self.identities().resource(here, path) {
                        Some(root) => (self.node(root).span().file, root),
                        None => return Err(fault),
                    }
                }
            }
        };
        self.part(file, root, fragment, hops)
    }

    /// Resolves a fragment relative to a root node.
    fn part(
        &self,
        file: FileId,
        root: NodeId,
        fragment: &str,
        hops: usize,
    ) -> Result<NodeId, Fault> {
        let Some(fragment) = percent_decoded(fragment) else {
            return Err(Fault::BadPointer(
                "`%` is not followed by two hexadecimal digits of UTF-8".into(),
            ));
        };
        if fragment.is_empty() {
            return Ok(root);
        }
        let Some(pointer) = fragment.strip_prefix('/') else {
            let anchored = self.identities().anchor(root, &fragment);
            return anchored.ok_or_else(|| Fault::NotFound {
                file,
                reached: root,
                help: Some(format!("a path inside the file begins with `#/`; no schema has the `$anchor` {fragment}")),
                part: fragment,
            });
        };
        let found = self.walk(file, root, pointer, hops);
        if found.is_err()
            && root == self.document.root
            && let Some(moved) = self.moved(file, pointer, hops)
        {
            return moved;
        }
        found
    }

    /// Resolves a Swagger 2.0 pointer such as `definitions/Pet` in the document that was converted
    /// to 3.0. `None` if the document is not a Swagger 2.0 document, or the pointer names none of
    /// the sections in [`MOVED`].
    fn moved(&self, file: FileId, pointer: &str, hops: usize) -> Option<Result<NodeId, Fault>> {
        let raw = self.node(self.files.root(self.document.file)?);
        let (part, rest) = pointer.split_once('/')?;
        let (_, places) = MOVED.iter().find(|(old, _)| *old == part)?;
        raw.get("swagger")?;
        let mut found = places.iter().map(|place| {
            let pointer = format!("{place}/{rest}");
            self.walk(file, self.document.root, &pointer, hops)
        });
        let first = found.next()?;
        Some(first.or_else(|fault| found.find(Result::is_ok).unwrap_or(Err(fault))))
    }

    fn root_of(&self, file: FileId) -> Result<NodeId, Fault> {
        if file == self.document.file {
            return Ok(self.document.root);
        }
        self.files.root(file).ok_or(Fault::Unparsed(file))
    }

    fn other_file(&self, base: FileId, path: &str) -> Result<FileId, Fault> {
        let decoded = percent_decoded(path).unwrap_or_else(|| path.to_owned());
        let refused = |refusal| Fault::File(refusal, path.to_owned());
        self.files.referred(base, &decoded).map_err(refused)
    }

    fn walk(
        &self,
        file: FileId,
        root: NodeId,
        pointer: &str,
        hops: usize,
    ) -> Result<NodeId, Fault> {
        let mut node = self.node(root);
        for part in pointer.split('/') {
            let Some(name) = unescaped(part) else {
                let message = format!("`~` in `{part}` is not followed by `0` or `1`");
                return Err(Fault::BadPointer(message));
            };
            let mut next = self.child(node, &name);
            // JSON pointers do not follow references, but bundlers do: if a part is missing,
            // continue in the target of the node's `$ref`.
            if next.is_none()
                && hops > 0
                && let Some(reference) = reference(node)
            {
                let target = self.target_within(reference, hops - 1).ok();
                next = target.and_then(|target| self.child(target, &name));
            }
            let Some(next) = next else {
                return Err(self.not_found(file, node, name, pointer));
            };
            node = next;
        }
        Ok(node.id())
    }

    /// Returns the value of a key, or the item at an index. Large maps are indexed first.
    pub fn child(&self, node: NodeRef<'a>, name: &str) -> Option<NodeRef<'a>> {
        if node.entries().len() < LARGE {
            return child(node, name);
        }
        let mut indexes = self.indexes.borrow_mut();
        let index = indexes.entry(node.id()).or_insert_with(|| {
            let entries = node.entries();
            entries
                .map(|(entry, value)| (&*entry.key, value.id()))
                .collect()
        });
        index.get(name).map(|id| self.node(*id))
    }

    fn not_found(&self, file: FileId, node: NodeRef<'a>, name: String, pointer: &str) -> Fault {
        let keys = || node.entries().map(|(entry, _)| &*entry.key);
        let slashed = format!("/{}", pointer.rsplit('/').next().unwrap_or_default());
        let help = if name.is_empty() && keys().any(|key| key == slashed) {
            let escaped = format!("~1{}", &slashed[1..]);
            Some(format!("a `/` in a key is written `~1`: `{escaped}`"))
        } else if self.suggestions.get() == 0 || node.entries().len() > 5_000 {
            None
        } else {
            self.suggestions.set(self.suggestions.get() - 1);
            suggest::nearest(&name, keys()).map(|near| format!("did you mean `{near}`?"))
        };
        Fault::NotFound {
            file,
            reached: node.id(),
            part: name,
            help,
        }
    }

    /// Identifiers that the document's files declare. Always empty for 3.0.
    fn identities(&self) -> &Identities<'a> {
        self.identities.get_or_init(|| {
            let version = self.root().get("openapi").and_then(NodeRef::scalar_text);
            if version.is_none_or(|version| version.starts_with("3.0")) {
                return Identities::default();
            }
            let files: Vec<(FileId, NodeId)> = self
                .files
                .reached(self.document)
                .into_iter()
                .filter_map(|file| Some((file, self.root_of(file).ok()?)))
                .collect();
            Identities::read(self, &files)
        })
    }
}

/// Returns the value of `$ref` if the node is a reference.
#[must_use]
pub fn reference(node: NodeRef<'_>) -> Option<NodeRef<'_>> {
    node.get("$ref").filter(|value| value.as_str().is_some())
}

fn child<'a>(node: NodeRef<'a>, name: &str) -> Option<NodeRef<'a>> {
    if node.is_list() {
        // Array indexes have no leading zeros or signs (RFC 6901 §4).
        let index: usize = name.parse().ok()?;
        return node
            .items()
            .nth(index)
            .filter(|_| index.to_string() == name);
    }
    node.get(name)
}

fn unescaped(part: &str) -> Option<String> {
    let mut text = String::with_capacity(part.len());
    let mut chars = part.chars();
    while let Some(c) = chars.next() {
        text.push(match c {
            '~' => match chars.next()? {
                '0' => '~',
                '1' => '/',
                _ => return None,
            },
            c => c,
        });
    }
    Some(text)
}
