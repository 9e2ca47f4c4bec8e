//! Names of a project: definitions, references, and texts that are compared with names, in all files
//! of all environments.
//!
//! The shapes of the vocabulary tell in which values names can be ([`diag::shape::names`]). This
//! table of names is the base of definitions, references and renaming. Completion reads the same
//! shapes.

use std::collections::{BTreeSet, HashSet};
use std::path::Path;

use diag::{FileId, NodeRef, Span};
use model::wildcard::star;
use openapi::spec::reference::Resolver;

use crate::project::Checked;
use collect::Collector;

mod collect;
mod documents;
mod name;

pub(crate) use name::{Name, Role, SCHEME, Scope, Target};

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
            let gateway = checked.gateway_in(compiled);
            let mut collector = Collector::new((compiled, gateway), &mut all);
            collector.files();
            let apis = compiled.model.iter().flat_map(|model| &model.apis);
            for api in apis {
                documents::names(&mut collector, api);
            }
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
