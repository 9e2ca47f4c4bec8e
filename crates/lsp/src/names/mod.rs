//! Names of a project: definitions, references, and texts that are compared with names, in all files
//! of all environments.
//!
//! The shapes of the vocabulary tell in which values names can be ([`diag::shape::names`]). This
//! table of names is the base of definitions, references and renaming. Completion reads the same
//! shapes.

use std::collections::{BTreeSet, HashSet};
use std::path::Path;

use diag::{FileId, NodeRef, Span};
use model::compile::Compiled;
use model::wildcard::star;
use openapi::spec::reference::Resolver;

use crate::project::Checked;

mod collect;
mod documents;

/// Kind of the names of security schemes.
pub(crate) const SCHEME: &str = "a security scheme";

/// Name in a file.
#[derive(Clone, Copy)]
pub(crate) struct Name<'c> {
    /// Kind of the definition, as in the shapes of the vocabulary.
    pub(crate) kind: &'static str,
    pub(crate) text: &'c str,
    /// Compilation that read the file.
    pub(crate) compiled: &'c Compiled,
    /// Place of the text, with its quotes.
    pub(crate) span: Span,
    pub(crate) scope: Scope<'c>,
    pub(crate) role: Role,
    /// True for a selector `.NAME` of a JSONPath, which takes only letters, digits and `_`.
    pub(crate) is_selector: bool,
}

/// Definitions to which a name can refer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Scope<'c> {
    /// Definitions of gateway.yaml.
    Gateway,
    /// Definitions of the document of this API, else those of gateway.yaml.
    Api(&'c str),
    /// Definitions of gateway.yaml and of every document.
    Project,
}

/// Role of a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    Definition,
    Reference,
    /// Text that is compared with names. `*` stands for any text.
    Pattern,
    /// Expression in CEL. Its strings may contain `SCHEME by NAME`.
    Expression,
    /// Text that may contain names at places that gwc cannot determine.
    Opaque,
}

/// Definition of a name: its kind, its text, and the API whose document defines it. `None` as API:
/// gateway.yaml.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Target<'c> {
    pub(crate) kind: &'static str,
    pub(crate) text: &'c str,
    pub(crate) api: Option<&'c str>,
}

/// All names of a project.
pub(crate) struct Names<'c> {
    pub(crate) all: Vec<Name<'c>>,
    defined: BTreeSet<Target<'c>>,
}

impl<'c> Names<'c> {
    /// Names of the project without an environment, and of every environment if `everywhere`.
    pub(crate) fn of(checked: &'c Checked, everywhere: bool) -> Self {
        let mut all = Vec::new();
        let others = if everywhere { checked.others() } else { &[] };
        for compiled in std::iter::once(&checked.compiled).chain(others) {
            collect::names(checked, compiled, &mut all);
        }
        let mut seen = HashSet::new();
        all.retain(|name: &Name<'_>| {
            let place = (name.path(), name.span.start, name.span.end);
            seen.insert((place, name.kind, name.scope, name.role as u8))
        });
        let definitions = all.iter().filter(|name| name.role == Role::Definition);
        let defined = definitions.map(|name| name.own_target()).collect();
        Self { all, defined }
    }

    /// Name at a byte offset of a file. Prefers a name with a definition.
    pub(crate) fn at(&self, checked: &Checked, place: (&Path, usize)) -> Option<Name<'c>> {
        let (path, offset) = place;
        let here = |name: &&Name<'c>| {
            let is_name = !matches!(name.role, Role::Expression | Role::Opaque);
            let range = name.span.start as usize..=name.span.end as usize;
            is_name
                && range.contains(&offset)
                && checked.path_in(name.compiled, name.span.file) == path
        };
        let mut found = self.all.iter().filter(here);
        let first = found.clone().next().copied();
        let defined = found.find(|name| !self.targets(name).is_empty());
        defined.copied().or(first)
    }

    /// Definitions to which a name refers. Several if the text is a pattern, or if several documents
    /// define the name.
    pub(crate) fn targets(&self, name: &Name<'c>) -> Vec<Target<'c>> {
        let is_same = |target: &&Target<'_>| {
            target.kind == name.kind
                && match (name.role, name.scope) {
                    (Role::Pattern, Scope::Project) => star(name.text, &target.in_project()),
                    (Role::Pattern, _) => star(name.text, target.text),
                    (_, Scope::Project) => target.in_project() == name.text,
                    _ => target.text == name.text,
                }
        };
        let same = || self.defined.iter().filter(is_same).copied();
        match (name.role, name.scope) {
            (Role::Definition, _) => vec![name.own_target()],
            (Role::Expression | Role::Opaque, _) => Vec::new(),
            (_, Scope::Project) => same().collect(),
            (_, Scope::Gateway) => same().filter(|target| target.api.is_none()).collect(),
            (_, Scope::Api(api)) => {
                let own: Vec<_> = same().filter(|target| target.api == Some(api)).collect();
                // Only invariants and tests have patterns. They name the API.
                match own.is_empty() && name.role != Role::Pattern {
                    true => same().filter(|target| target.api.is_none()).collect(),
                    false => own,
                }
            }
        }
    }

    /// True if gateway.yaml or a document defines a name of this kind.
    pub(crate) fn is_defined(&self, kind: &str, text: &str) -> bool {
        let mut all = self.defined.iter();
        all.any(|target| target.kind == kind && target.text == text)
    }

    /// Place of a definition: the first one, because the patch of an environment can repeat it.
    pub(crate) fn place(&self, target: Target<'c>) -> Option<Name<'c>> {
        let mut definitions = self.all.iter();
        let is_place =
            |name: &&Name<'c>| name.role == Role::Definition && name.own_target() == target;
        definitions.find(is_place).copied()
    }

    /// Definition, and all names that refer to it.
    pub(crate) fn references(&self, target: Target<'c>) -> Vec<Name<'c>> {
        let all = self.all.iter();
        let all = all.filter(|name| self.targets(name).contains(&target));
        all.copied().collect()
    }
}

impl Target<'_> {
    /// Name as invariants and tests write it: with the API whose document defines an upstream or a
    /// verifier.
    pub(crate) fn in_project(&self) -> String {
        match (self.kind, self.api) {
            ("an upstream" | "a verifier", Some(api)) => format!("{api}/{}", self.text),
            _ => self.text.to_owned(),
        }
    }
}

impl<'c> Name<'c> {
    /// Target of a definition.
    pub(crate) fn own_target(&self) -> Target<'c> {
        Target {
            kind: self.kind,
            text: self.text,
            api: match self.scope {
                Scope::Api(api) => Some(api),
                Scope::Gateway | Scope::Project => None,
            },
        }
    }

    /// Path of the file, relative to the project.
    pub(crate) fn path(&self) -> &'c str {
        self.compiled.files.sources.file(self.span.file).path()
    }

    /// Source text of the name, with its quotes.
    pub(crate) fn source(&self) -> &'c str {
        self.compiled.files.sources.text(self.span)
    }

    /// Span of the text without its quotes. `None` if the source writes the text with escapes.
    pub(crate) fn inner(&self) -> Option<Span> {
        let at = self.source().rfind(self.text)?;
        Some(self.span.slice(at, at + self.text.len()))
    }

    /// Name of a part of the text. A part whose place is unknown is opaque.
    fn part(&self, kind: &'static str, from: usize, to: usize) -> Self {
        let span = self.inner().map(|inner| inner.slice(from, to));
        match span {
            Some(span) => Self {
                kind,
                text: &self.text[from..to],
                span,
                ..*self
            },
            None => Self {
                role: Role::Opaque,
                ..*self
            },
        }
    }
}

/// True if a span contains an offset, or ends there.
fn has(span: Span, file: FileId, offset: usize) -> bool {
    span.file == file && (span.start as usize..=span.end as usize).contains(&offset)
}
/// Target of the `$ref` at a byte offset of a file. `None` if there is no `$ref`, or its target is
/// not found.
pub(crate) fn reference_target(checked: &Checked, file: FileId, offset: usize) -> Option<Span> {
    let tree = &checked.compiled.files.tree;
    let root = tree.at(checked.compiled.files.root(file)?);
    let reference = find_reference(root, file, offset)?;
    let documents = checked.compiled.files.documents();
    let model = checked.compiled.model.as_ref();
    let apis = model.into_iter().flat_map(|model| &model.apis);
    let of_models = apis.map(|api| &api.document);
    let mut all = of_models.chain(documents);
    let document = all.find(|document| {
        document.file == file || checked.compiled.files.reached(document).contains(&file)
    })?;
    let target = Resolver::new(&checked.compiled.files, document)
        .target(reference)
        .ok()?;
    Some(target.span())
}

/// Value of `$ref` at an offset, found from the root towards the offset.
fn find_reference(node: NodeRef<'_>, file: FileId, offset: usize) -> Option<NodeRef<'_>> {
    let mut node = node;
    loop {
        let entries = node.entries();
        let inner = entries.map(|(entry, value)| (entry.key_span, &*entry.key, value));
        let mut found = inner
            .filter(|(key, _, value)| has(*key, file, offset) || has(value.span(), file, offset));
        if let Some((_, key, value)) = found.next_back() {
            if key == "$ref" && value.as_str().is_some() {
                return Some(value);
            }
            node = value;
            continue;
        }
        node = node.items().find(|item| has(item.span(), file, offset))?;
    }
}
