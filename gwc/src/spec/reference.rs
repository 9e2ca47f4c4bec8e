//! References: `$ref` to a place in this file or in another one.
//!
//! A reference is relative to the file that it stands in (an overlay's to the document that it
//! changes); its fragment is a JSON pointer (RFC 6901), percent-encoded, or the `$anchor` of a
//! schema. URLs are never fetched; one that equals the `$id` of a schema finds it.

use std::cell::{Cell, OnceCell, RefCell};
use std::collections::HashMap;

use diag::suggest;
use diag::{FileId, NodeId, NodeRef};

use crate::project::files::{Document, Files, Refusal, percent_decoded};

/// How many references in a row are followed; more is a circle.
pub const HOPS_MAX: usize = 64;
/// Entries from which on a map is indexed instead of searched.
const LARGE: usize = 64;
/// How many "did you mean?" are worked out; comparing names is the slowest thing here.
const SUGGESTIONS_MAX: u32 = 100;

/// Resolves the references of one document and remembers what each text means in each file.
pub struct Resolver<'a> {
    files: &'a Files,
    document: &'a Document,
    found: RefCell<Found<'a>>,
    /// The entries of large maps by key.
    indexes: RefCell<HashMap<NodeId, HashMap<&'a str, NodeId>>>,
    named: OnceCell<Named<'a>>,
    suggestions: Cell<u32>,
}

/// What a text means in a file.
type Found<'a> = HashMap<(FileId, &'a str), Result<NodeId, Fault>>;

/// Schemas by `$id`, and by file and `$anchor`.
struct Named<'a> {
    ids: HashMap<&'a str, NodeId>,
    anchors: HashMap<(FileId, &'a str), NodeId>,
}

/// Why a reference leads nowhere.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The file is not read; with its name as written.
    File(Refusal, String),
    /// The file is not well-formed; its own findings say why.
    Unparsed(FileId),
    /// The fragment is not a JSON pointer.
    BadPointer(String),
    /// There is nothing at the pointer.
    NotFound {
        /// The file that was searched.
        file: FileId,
        /// The last value on the way.
        reached: NodeId,
        /// The part that it does not have.
        part: String,
        /// What to write instead.
        help: Option<String>,
    },
}

impl<'a> Resolver<'a> {
    /// A resolver for a document whose files were loaded by [`Files::follow`].
    #[must_use]
    pub fn new(files: &'a Files, document: &'a Document) -> Self {
        Self {
            files,
            document,
            found: RefCell::default(),
            indexes: RefCell::default(),
            named: OnceCell::new(),
            suggestions: Cell::new(SUGGESTIONS_MAX),
        }
    }

    /// The files.
    #[must_use]
    pub fn files(&self) -> &'a Files {
        self.files
    }

    /// The document.
    #[must_use]
    pub fn document(&self) -> &'a Document {
        self.document
    }

    /// The document's root.
    #[must_use]
    pub fn root(&self) -> NodeRef<'a> {
        self.node(self.document.root)
    }

    /// A node of the tree.
    #[must_use]
    pub fn node(&self, id: NodeId) -> NodeRef<'a> {
        self.files.tree.at(id)
    }

    /// The value that a node stands for: itself, or what its chain of references ends at.
    /// `None` where the chain is broken or goes round in a circle, which [`super::structure`]
    /// reports.
    #[must_use]
    pub fn resolve(&self, node: NodeRef<'a>) -> Option<NodeRef<'a>> {
        let mut node = node;
        for _ in 0..=HOPS_MAX {
            let Some(reference) = reference(node) else {
                return Some(node);
            };
            node = self.target(reference).ok()?;
        }
        None
    }

    /// What a `$ref` text names, one step.
    pub fn target(&self, reference: NodeRef<'a>) -> Result<NodeRef<'a>, Fault> {
        self.target_within(reference, HOPS_MAX)
    }

    fn target_within(&self, reference: NodeRef<'a>, hops: usize) -> Result<NodeRef<'a>, Fault> {
        let text = reference.as_str().unwrap_or_default();
        let base = self.document.base(reference.span().file);
        let known = self.found.borrow().get(&(base, text)).cloned();
        let found = known.unwrap_or_else(|| {
            let found = self.find(base, text, hops);
            self.found.borrow_mut().insert((base, text), found.clone());
            found
        });
        found.map(|id| self.node(id))
    }

    fn find(&self, base: FileId, text: &'a str, hops: usize) -> Result<NodeId, Fault> {
        let (path, fragment) = text.split_once('#').unwrap_or((text, ""));
        let (file, root) = if path.is_empty() {
            (base, self.root_of(base)?)
        } else {
            match self.other_file(base, path) {
                Ok(file) => (file, self.root_of(file)?),
                Err(fault) => match self.named().ids.get(path) {
                    Some(schema) => (self.node(*schema).span().file, *schema),
                    None => return Err(fault),
                },
            }
        };
        let Some(fragment) = percent_decoded(fragment) else {
            return Err(Fault::BadPointer(
                "`%` is not followed by two hexadecimal digits of UTF-8".into(),
            ));
        };
        if fragment.is_empty() {
            return Ok(root);
        }
        let Some(pointer) = fragment.strip_prefix('/') else {
            let anchors = &self.named().anchors;
            let anchored = anchors.get(&(file, fragment.as_str())).copied();
            return anchored.ok_or_else(|| Fault::NotFound {
                file,
                reached: root,
                help: Some(format!("a path inside the file begins with `#/`; no schema has the `$anchor` {fragment}")),
                part: fragment,
            });
        };
        self.walk(file, root, pointer, hops)
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
            // Not a rule of JSON pointers, but of all bundlers: a reference on the way is
            // what it refers to.
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

    fn child(&self, node: NodeRef<'a>, name: &str) -> Option<NodeRef<'a>> {
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

    fn named(&self) -> &Named<'a> {
        self.named.get_or_init(|| {
            let mut named = Named {
                ids: HashMap::new(),
                anchors: HashMap::new(),
            };
            for index in 0..self.files.tree.len() {
                let node = self.node(NodeId(u32::try_from(index).unwrap_or(u32::MAX)));
                for (entry, value) in node.entries() {
                    let Some(text) = value.as_str() else { continue };
                    match &*entry.key {
                        "$id" => drop(named.ids.entry(text).or_insert(node.id())),
                        "$anchor" => {
                            let file = self.document.base(node.span().file);
                            named.anchors.entry((file, text)).or_insert(node.id());
                        }
                        _ => {}
                    }
                }
            }
            named
        })
    }
}

/// The `$ref` of a node, if it is a reference.
#[must_use]
pub fn reference(node: NodeRef<'_>) -> Option<NodeRef<'_>> {
    node.get("$ref").filter(|value| value.as_str().is_some())
}

fn child<'a>(node: NodeRef<'a>, name: &str) -> Option<NodeRef<'a>> {
    if node.is_list() {
        // "01" and "+1" are not indexes.
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
