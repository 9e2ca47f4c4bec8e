//! Names of a project: definitions and uses of policies, upstreams, verifiers, listeners, stores,
//! plans and security schemes, and references.

use diag::shape;
use diag::{FileId, NodeRef, Span};
use model::Api;
use openapi::spec::reference::Resolver;
use vocab::gateway;

use crate::project::Checked;

/// Kind of the names of security schemes.
const SCHEME: &str = "a security scheme";

/// A name in a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Name<'c> {
    pub(crate) kind: &'static str,
    pub(crate) text: &'c str,
    /// Place of the name, with its quotes.
    pub(crate) span: Span,
    /// Index of the API whose document has the name. `None`: gateway.yaml.
    pub(crate) api: Option<usize>,
    pub(crate) is_definition: bool,
}

/// All names of a project.
pub(crate) fn all(checked: &Checked) -> Vec<Name<'_>> {
    let mut names = Vec::new();
    if let Some(root) = checked.gateway() {
        definitions(root, None, &mut names);
        uses(root, &gateway::SHAPE, None, &mut names);
    }
    let apis = checked.compiled.model.iter().flat_map(|model| &model.apis);
    for (index, api) in apis.enumerate() {
        of_api(checked, api, index, &mut names);
    }
    names
}

fn of_api<'c>(checked: &'c Checked, api: &'c Api, index: usize, names: &mut Vec<Name<'c>>) {
    let tree = &checked.compiled.files.tree;
    if let Some(extension) = api.spec.x_gateway {
        definitions(tree.at(extension), Some(index), names);
    }
    for (node, object) in &api.spec.extensions {
        for field in object.fields {
            if let Some(value) = tree.at(*node).get(field.key) {
                uses(value, &field.shape, Some(index), names);
            }
        }
    }
    let root = tree.at(api.spec.root);
    let schemes = root
        .get("components")
        .and_then(|node| node.get("securitySchemes"));
    for (entry, _) in schemes.into_iter().flat_map(NodeRef::entries) {
        names.push(Name {
            kind: SCHEME,
            text: &entry.key,
            span: entry.key_span,
            api: Some(index),
            is_definition: true,
        });
    }
    let items = root.get("paths").into_iter().flat_map(NodeRef::entries);
    let operations = items.flat_map(|(_, item)| item.entries().map(|(_, operation)| operation));
    for node in operations.chain([root]) {
        let alternatives = node.get("security").into_iter().flat_map(NodeRef::items);
        for (entry, _) in alternatives.flat_map(NodeRef::entries) {
            names.push(Name {
                kind: SCHEME,
                text: &entry.key,
                span: entry.key_span,
                api: Some(index),
                is_definition: false,
            });
        }
    }
}

fn definitions<'c>(root: NodeRef<'c>, api: Option<usize>, names: &mut Vec<Name<'c>>) {
    for (section, kind) in model::sections() {
        let entries = root.get(section).into_iter().flat_map(NodeRef::entries);
        names.extend(entries.map(|(entry, _)| Name {
            kind,
            text: &entry.key,
            span: entry.key_span,
            api,
            is_definition: true,
        }));
    }
}

fn uses<'c>(
    node: NodeRef<'c>,
    shape: &shape::Shape,
    api: Option<usize>,
    names: &mut Vec<Name<'c>>,
) {
    shape::names(node, shape, &mut |kind, name| {
        if let Some(text) = name.scalar_text() {
            names.push(Name {
                kind,
                text,
                span: name.span(),
                api,
                is_definition: false,
            });
        }
    });
}

/// Name at a byte offset of a file. `None` if no name is there.
pub(crate) fn at<'c>(names: &[Name<'c>], file: FileId, offset: usize) -> Option<Name<'c>> {
    names
        .iter()
        .find(|name| has(name.span, file, offset))
        .copied()
}

/// True if a span contains an offset, or ends there.
fn has(span: Span, file: FileId, offset: usize) -> bool {
    span.file == file && (span.start as usize..=span.end as usize).contains(&offset)
}

/// Definition of a name: that of the document, else that of gateway.yaml.
pub(crate) fn definition<'c>(names: &[Name<'c>], name: Name<'_>) -> Option<Name<'c>> {
    let is_same =
        |one: &&Name<'c>| one.is_definition && one.kind == name.kind && one.text == name.text;
    let same = || names.iter().filter(is_same);
    let own = same().find(|one| one.api == name.api && name.api.is_some());
    own.or_else(|| same().find(|one| one.api.is_none()))
        .copied()
}

/// Definition of a name, and all uses that refer to it.
pub(crate) fn references<'c>(names: &[Name<'c>], name: Name<'_>) -> Vec<Name<'c>> {
    let Some(target) = definition(names, name) else {
        return Vec::new();
    };
    let all = names.iter().filter(|one| {
        one.kind == target.kind
            && one.text == target.text
            && definition(names, **one) == Some(target)
    });
    all.copied().collect()
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
