//! Files with invariants: conditions that operations must satisfy. `invariants` in gateway.yaml
//! names the files.

use std::collections::BTreeMap;

use diag::shape;
use diag::{Diagnostic, NodeRef, Sink, Span, Spanned, read};

use engine::path::normalise_literal;
use sources::project::files::Files;
use vocab::invariant_file::INVARIANTS;

/// Invariant as written in a file.
#[derive(Clone, Debug, Default)]
pub struct Invariant {
    /// Name of the invariant.
    pub name: String,
    /// Source location of the name.
    pub span: Option<Span>,
    /// Selection and requirements of the invariant, as one line of text that plans compare.
    pub text: String,
    pub(crate) path: Option<String>,
    pub(crate) methods: Vec<String>,
    pub(crate) apis: Vec<String>,
    pub(crate) operations: Vec<String>,
    pub(crate) tags: Vec<String>,
    pub(crate) owners: Vec<String>,
    pub(crate) listeners: Vec<String>,
    pub(crate) upstreams: Vec<String>,
    /// Names of verifiers that select operations.
    pub(crate) auth: Vec<String>,
    /// Names of policies that select operations.
    pub(crate) policies: Vec<String>,
    /// Kinds of policies that select operations.
    pub(crate) kinds: Vec<String>,
    pub(crate) anonymous: bool,
    pub(crate) require: Require,
}

/// Requirements on an operation.
#[derive(Clone, Debug, Default)]
pub(crate) struct Require {
    pub(crate) unreachable: bool,
    pub(crate) authenticated: bool,
    pub(crate) auth: Vec<String>,
    pub(crate) policies: Vec<String>,
    pub(crate) kinds: Vec<String>,
    pub(crate) not_kinds: Vec<String>,
    pub(crate) upstreams: Vec<String>,
    pub(crate) not_upstreams: Vec<String>,
    pub(crate) listeners: Vec<String>,
    pub(crate) timeout_ms: Option<u64>,
    pub(crate) max_body_bytes: Option<u64>,
}

/// Invariants of a project, and the files that contain them.
#[derive(Clone, Debug, Default)]
pub struct Invariants {
    /// Files, as gateway.yaml names them.
    pub files: Vec<Spanned<String>>,
    /// Invariants that these files contain.
    pub all: Vec<Invariant>,
}

impl Invariants {
    /// Creates the invariants of a project whose files are not read yet.
    pub(crate) fn named(files: Vec<Spanned<String>>) -> Self {
        Self {
            files,
            all: Vec::new(),
        }
    }
}

/// Reads the invariant files. Invariants with mistakes are reported and left out.
pub(crate) fn read(
    files: &mut Files,
    named: &[Spanned<String>],
    sink: &mut Sink,
) -> Vec<Invariant> {
    let mut all = Vec::new();
    let mut names: BTreeMap<String, Span> = BTreeMap::new();
    for named in named {
        let Some((_, root)) = files.load(&named.value, named.span, sink) else {
            continue;
        };
        let root = files.tree.at(root);
        if root.is_null() || !shape::check(root, &INVARIANTS, sink) && !root.is_list() {
            continue;
        }
        for node in root.items() {
            let Some(one) = invariant(node) else { continue };
            let at = node.get("name").map_or(node.span(), NodeRef::span);
            if let Some(first) = names.insert(one.name.clone(), at) {
                let message = "two invariants have the same name";
                sink.push(
                    Diagnostic::new(&shape::BAD_VALUE, at, message)
                        .related(first, "the other one is here")
                        .help("findings and plans identify an invariant by its name: give each its own"),
                );
                continue;
            }
            all.push(one);
        }
    }
    all
}

fn invariant(node: NodeRef<'_>) -> Option<Invariant> {
    let item = match &INVARIANTS {
        shape::Shape::List(item) => item,
        other => other,
    };
    if !shape::fits(node, item) {
        return None;
    }
    let selection = node.get("where");
    let require = node.get("require")?;
    let of = |key: &str| texts(selection.and_then(|selection| selection.get(key)));
    let needs = |key: &str| texts(require.get(key));
    let is = |node: Option<NodeRef<'_>>| node.and_then(NodeRef::as_bool) == Some(true);
    let name = node.get("name")?;
    Some(Invariant {
        name: name.scalar_text()?.to_owned(),
        span: Some(name.span()),
        text: format!("where {} require {}", line(selection), line(Some(require))),
        path: selection
            .and_then(|selection| selection.get("path"))
            .and_then(NodeRef::scalar_text)
            .map(normalised),
        methods: of("methods"),
        apis: of("apis"),
        operations: of("operations"),
        tags: of("tags"),
        owners: of("owners"),
        listeners: of("listeners"),
        upstreams: of("upstreams"),
        auth: of("auth"),
        policies: of("policies"),
        kinds: of("kinds"),
        anonymous: is(selection.and_then(|selection| selection.get("anonymous"))),
        require: Require {
            unreachable: is(require.get("unreachable")),
            authenticated: is(require.get("authenticated")),
            auth: needs("auth"),
            policies: needs("policies"),
            kinds: needs("kinds"),
            not_kinds: needs("not_kinds"),
            upstreams: needs("upstreams"),
            not_upstreams: needs("not_upstreams"),
            listeners: needs("listeners"),
            timeout_ms: require
                .get("timeout")
                .and_then(|node| read::duration_ms(node).ok()),
            max_body_bytes: require
                .get("max_body")
                .and_then(|node| read::size_bytes(node).ok()),
        },
    })
}

/// Path pattern whose literals are normalised like the literals of path templates.
fn normalised(path: &str) -> String {
    let segments = path.split('/').map(|segment| match segment {
        "*" | "**" => segment.to_owned(),
        literal => normalise_literal(literal),
    });
    segments.collect::<Vec<_>>().join("/")
}

/// Strings of a list.
fn texts(node: Option<NodeRef<'_>>) -> Vec<String> {
    let items = node.into_iter().flat_map(NodeRef::items);
    items
        .filter_map(NodeRef::scalar_text)
        .map(str::to_owned)
        .collect()
}

/// Renders the content of a node as one line, with sorted keys and items. Scalars are quoted, so
/// that different contents never give the same line.
fn line(node: Option<NodeRef<'_>>) -> String {
    let Some(node) = node else {
        return "{}".to_owned();
    };
    if node.is_map() {
        let entries = node
            .entries()
            .map(|(entry, value)| format!("{}: {}", entry.key, line(Some(value))));
        let mut entries: Vec<String> = entries.collect();
        entries.sort();
        return format!("{{{}}}", entries.join(", "));
    }
    if node.is_list() {
        let mut items: Vec<String> = node.items().map(|item| line(Some(item))).collect();
        items.sort();
        return format!("[{}]", items.join(", "));
    }
    let text = node.scalar_text().unwrap_or("null");
    serde_json::Value::from(text).to_string()
}
