//! Upstreams named in the servers of a document: `servers[].x-gateway`.
//!
//! As in OpenAPI, the nearest list of servers applies as a whole: the operation's list, else the
//! path's, else the document's. A server that names an upstream has the same effect as `x-gateway:
//! {upstream}` at the level of the list. Several such servers share the requests by weight, like a
//! `split`.

use diag::shape::{BAD_VALUE, MISSING_KEY};
use diag::{Diagnostic, NodeRef, Sink, Tree, read};
use policy::limits::CONTRADICTING_LIMITS;
use policy::traffic::split;

use openapi::spec::{Operation, PathItem, Server, Spec};

/// Level of a document at which a list of servers is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Level {
    Document,
    Path,
    Operation,
}

/// Upstreams named in the nearest list of servers. Empty if the servers name no upstream.
pub(super) struct Servers<'a> {
    level: Level,
    shares: Vec<Share<'a>>,
}

/// Server of the document that names an upstream, with its weight.
struct Share<'a> {
    upstream: NodeRef<'a>,
    weight: Option<NodeRef<'a>>,
}

impl<'a> Servers<'a> {
    /// Returns the servers that apply to an operation.
    pub(super) fn nearest(
        tree: &'a Tree,
        spec: &'a Spec,
        item: &'a PathItem,
        operation: &'a Operation,
    ) -> Self {
        let lists = [
            (Level::Operation, &operation.servers),
            (Level::Path, &item.servers),
            (Level::Document, &spec.servers),
        ];
        let mut written = lists.into_iter().filter(|(_, list)| !list.is_empty());
        match written.next() {
            Some((level, list)) => Self {
                level,
                shares: shares(tree, list),
            },
            None => Self::of_document(tree, spec),
        }
    }

    /// Returns the servers at the root of the document.
    pub(super) fn of_document(tree: &'a Tree, spec: &Spec) -> Self {
        Self {
            level: Level::Document,
            shares: shares(tree, &spec.servers),
        }
    }

    /// First upstream that the list of servers names, if the list is at this level.
    pub(super) fn upstream_at(&self, level: Level) -> Option<NodeRef<'a>> {
        let first = self.shares.first().filter(|_| self.level == level);
        first.map(|share| share.upstream)
    }

    /// Split of requests by weight, if the servers at level `decides` name the upstreams. `None` if
    /// one upstream receives all requests.
    pub(super) fn split(&self, decides: Option<Level>) -> Option<split::Checked> {
        if decides != Some(self.level) || self.shares.len() < 2 {
            return None;
        }
        let share = |share: &Share<'_>| {
            let weight = share.weight.map_or(Ok(1), |node| read_weight(node));
            Some((share.upstream.scalar_text()?.to_owned(), weight.ok()?))
        };
        let all: Option<Vec<_>> = self.shares.iter().map(share).collect();
        all.map(split::Checked::by_weight)
    }
}

fn shares<'a>(tree: &'a Tree, list: &[Server]) -> Vec<Share<'a>> {
    let extensions = list.iter().filter_map(|server| server.x_gateway);
    let shares = extensions.filter_map(|id| {
        let node = tree.at(id);
        Some(Share {
            upstream: written_value(node, "upstream")?,
            weight: written_value(node, "weight"),
        })
    });
    shares.collect()
}

fn written_value<'a>(node: NodeRef<'a>, key: &str) -> Option<NodeRef<'a>> {
    node.get(key).filter(|value| !value.is_null())
}

fn read_weight(node: NodeRef<'_>) -> Result<u32, ()> {
    let weight = read::integer(node, 0, 1_000_000).map_err(drop)?;
    u32::try_from(weight).map_err(drop)
}

/// Checks every list of servers in a document once, including contradictions with the `x-gateway`
/// at the same level.
pub(super) fn check(tree: &Tree, spec: &Spec, sink: &mut Sink) {
    let at = |id| tree.at(id);
    let root = spec.x_gateway.map(at);
    let defaults = root.and_then(|root| written_value(root, "defaults"));
    check_list(tree, &spec.servers, defaults, sink);
    for item in &spec.paths {
        check_list(tree, &item.servers, item.x_gateway.map(at), sink);
        for operation in &item.operations {
            check_list(tree, &operation.servers, operation.x_gateway.map(at), sink);
        }
    }
}

fn check_list(tree: &Tree, list: &[Server], beside: Option<NodeRef<'_>>, sink: &mut Sink) {
    let extensions = list.iter().filter_map(|server| server.x_gateway);
    for node in extensions.map(|id| tree.at(id)) {
        if let (Some(weight), None) = (
            written_value(node, "weight"),
            written_value(node, "upstream"),
        ) {
            sink.push(
                Diagnostic::new(&MISSING_KEY, weight.span(), "this share has no upstream")
                    .help("write `upstream: NAME` beside it"),
            );
        }
    }
    let shares = shares(tree, list);
    let Some(first) = shares.first() else { return };
    for key in ["upstream", "split"] {
        if let Some(other) = beside.and_then(|beside| written_value(beside, key)) {
            let message = "the upstream is named twice";
            sink.push(
                Diagnostic::new(&BAD_VALUE, first.upstream.span(), message)
                    .related(other.span(), "also named here")
                    .help(format!(
                        "remove `upstream` of the servers, or `{key}` of the `x-gateway` beside them"
                    )),
            );
        }
    }
    match &shares[..] {
        [only] => {
            if let Some(weight) = only.weight {
                let message = "there is no other upstream to share with";
                sink.push(
                    Diagnostic::new(&CONTRADICTING_LIMITS, weight.span(), message)
                        .help("remove the weight, or name an upstream at another server"),
                );
            }
        }
        several => {
            for share in several.iter().filter(|share| share.weight.is_none()) {
                let message = "several servers name an upstream, and this one has no share";
                sink.push(
                    Diagnostic::new(&MISSING_KEY, share.upstream.span(), message)
                        .help("write `weight: 1` beside it"),
                );
            }
            let weights = several.iter().filter_map(|share| share.weight);
            if weights.clone().count() == several.len()
                && weights.clone().all(|weight| read_weight(weight) == Ok(0))
            {
                sink.push(
                    Diagnostic::new(&BAD_VALUE, first.upstream.span(), "every share is 0")
                        .help("give one of them a weight above 0"),
                );
            }
        }
    }
}
