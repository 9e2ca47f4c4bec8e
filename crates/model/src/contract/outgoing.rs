//! Requests that the API itself sends: callbacks of operations, and webhooks.

use std::borrow::Cow;

use bundle::ir;
use diag::{Diagnostic, NodeId, NodeRef, Sink};
use openapi::spec::reference::Resolver;
use openapi::spec::{In, Method, Version};
use sources::project::files::Files;
use sources::syntax::lints::TOO_LARGE;

use super::schema::Schemas;
use super::{DocumentParameter, Parts, sent_credentials};
use crate::Api;

/// Maximum depth of nested callbacks.
const DEPTH_MAX: usize = 32;
/// Maximum number of parts of the requests that one API sends: parameters, responses, each 100
/// bytes of a key, and the requests themselves. A small document can describe any number of them
/// by references: each callback counts again below each callback that leads to it.
const PARTS_MAX: usize = 200_000;
/// Text between the key of an operation and the rest of the key of its callback.
const CALLBACK: &str = " callback ";
/// Start of the key of a webhook.
pub const WEBHOOK: &str = "webhook ";

/// Request that an API sends.
pub(super) struct Sent<'a> {
    /// `OWNER callback NAME METHOD EXPRESSION`, see [`owner`], or `webhook NAME METHOD`.
    key: String,
    /// Path item, which can have parameters.
    item: NodeRef<'a>,
    /// Operation of the path item.
    called: NodeRef<'a>,
}

/// Requests that an API sends: the callbacks of these operations, and the webhooks of the root.
/// `operations`: key and node of each operation.
///
/// # Errors
/// Returns the callbacks or webhooks with which the API has more than [`PARTS_MAX`] parts, or more
/// than [`DEPTH_MAX`] levels.
pub(super) fn sent<'a>(
    parts: &Parts<'_, 'a>,
    operations: impl Iterator<Item = (String, NodeRef<'a>)>,
) -> Result<Vec<Sent<'a>>, NodeRef<'a>> {
    let mut all = Collected {
        parts,
        sent: Vec::new(),
        left: PARTS_MAX,
        ancestors: Vec::new(),
    };
    for (key, operation) in operations {
        all.callbacks(&owner(&key), operation)?;
    }
    let root = parts.resolver.root();
    for (name, item) in parts.entries(parts.field(root, "webhooks")) {
        for (method, called) in methods(parts, item) {
            let key = format!("{WEBHOOK}{} {}", owner(name), method.0);
            all.push(key, (item, called), item)?;
        }
    }
    Ok(all.sent)
}

/// Key of an operation, as keys of its callbacks begin. An operation id may contain any text, so
/// that [`CALLBACK`] is replaced in it.
#[must_use]
pub fn owner(key: &str) -> Cow<'_, str> {
    match key.contains(CALLBACK) {
        true => key.replace(CALLBACK, " %63allback ").into(),
        false => key.into(),
    }
}

/// True if the API sends the request with this key: a webhook, or a callback of an operation. Clients
/// send the requests of the callbacks inside these, and so on by turns.
#[must_use]
pub fn is_sent_by_api(key: &str) -> bool {
    let depth = key.matches(CALLBACK).count();
    depth.is_multiple_of(2) == key.starts_with(WEBHOOK)
}

/// Splits the key of a callback behind its owner. Returns the owner and `callback NAME METHOD
/// EXPRESSION`. `None` for a webhook.
#[must_use]
pub fn split_callback(key: &str) -> Option<(&str, &str)> {
    if key.starts_with(WEBHOOK) {
        return None;
    }
    let at = key.find(CALLBACK)?;
    Some((&key[..at], &key[at + 1..]))
}

/// Methods and expressions of a callback and of those that lead to it, without their names. `key`: as
/// from [`split_callback`].
#[must_use]
pub fn without_names(key: &str) -> String {
    let is_method = |word: &str| Method::of_key(&word.to_ascii_lowercase(), Version::V32).is_some();
    let rest = |level: &str| {
        let words: Vec<&str> = level.split(' ').collect();
        let at = words.iter().position(|word| is_method(word));
        words[at.unwrap_or_default()..].join(" ")
    };
    let key = key.strip_prefix(CALLBACK.trim_start()).unwrap_or(key);
    let levels: Vec<String> = key.split(CALLBACK).map(rest).collect();
    levels.join(CALLBACK)
}

struct Collected<'p, 'r, 'a> {
    parts: &'p Parts<'r, 'a>,
    sent: Vec<Sent<'a>>,
    /// Number of parts that the API may still have.
    left: usize,
    /// Operations that lead to the present one.
    ancestors: Vec<NodeId>,
}

impl<'a> Collected<'_, '_, 'a> {
    /// Adds the callbacks of an operation, and the callbacks of their operations. Leaves out the
    /// callbacks of an operation below itself.
    fn callbacks(&mut self, key: &str, operation: NodeRef<'a>) -> Result<(), NodeRef<'a>> {
        let is_below_itself = self.ancestors.contains(&operation.id());
        let callbacks = self.parts.field(operation, "callbacks");
        let Some(callbacks) = callbacks.filter(|_| !is_below_itself) else {
            return Ok(());
        };
        if self.ancestors.len() == DEPTH_MAX {
            return Err(callbacks);
        }
        self.ancestors.push(operation.id());
        for (name, callback) in self.parts.entries(Some(callbacks)) {
            for (expression, item) in self.parts.entries(Some(callback)) {
                if expression.starts_with("x-") {
                    continue;
                }
                for (method, called) in methods(self.parts, item) {
                    let rest = format!("{name} {} {expression}", method.0);
                    let key = format!("{key}{CALLBACK}{}", owner(&rest));
                    self.push(key, (item, called), callbacks)?;
                }
            }
        }
        self.ancestors.pop();
        Ok(())
    }

    /// Adds a request. `of`: node that describes it, for the error.
    fn push(
        &mut self,
        key: String,
        (item, called): (NodeRef<'a>, NodeRef<'a>),
        of: NodeRef<'a>,
    ) -> Result<(), NodeRef<'a>> {
        let count = |node: NodeRef<'a>, key: &str| {
            let list = self.parts.field(node, key);
            list.map_or(0, |list| list.items().len() + list.entries().count())
        };
        let own = count(item, "parameters") + count(called, "parameters");
        let parts = 1 + own + count(called, "responses") + key.len() / 100;
        self.left = self.left.checked_sub(parts).ok_or(of)?;
        let below = key.clone();
        self.sent.push(Sent { key, item, called });
        self.callbacks(&below, called)
    }
}

impl<'a> Sent<'a> {
    /// Builds the contract of the request.
    pub(super) fn contract(
        self,
        parts: &mut Parts<'_, 'a>,
    ) -> Result<ir::ContractOperation, ir::NotASet> {
        let Self { key, item, called } = self;
        let own = written(parts, called);
        let mut all = written(parts, item);
        all.retain(|shared| {
            let again =
                |own: &DocumentParameter<'_>| own.place == shared.place && own.name == shared.name;
            !own.iter().any(again)
        });
        all.extend(own);
        // A webhook has no path template, so its path parameters are ordered by name.
        let mut in_path: Vec<&str> = all
            .iter()
            .filter(|one| one.place == In::Path)
            .map(|one| one.name)
            .collect();
        in_path.sort_unstable();
        parts.schemas.sites.operation(&key);
        let parameters = parts.parameters(&in_path, &all);
        let security = sent_credentials::of(parts.resolver, called);
        let contract = parts.operation(key, parameters, called)?;
        Ok(ir::ContractOperation {
            security,
            ..contract
        })
    }
}

/// Reports an API that sends too many requests, see [`sent`]. Contracts then have
/// none of these requests, so the error must stop the build.
pub(crate) fn check(files: &Files, apis: &[Api], sink: &mut Sink) {
    for api in apis {
        let resolver = Resolver::new(files, &api.document);
        let parts = Parts {
            schemas: Schemas::new(&resolver, api.spec.version),
            resolver: &resolver,
        };
        let paths = api.spec.paths.iter().flat_map(|item| &item.operations);
        let nodes = paths.map(|written| (String::new(), resolver.node(written.node)));
        if let Err(node) = sent(&parts, nodes) {
            let message = format!(
                "the API `{}` sends requests with more than {PARTS_MAX} parts, or {DEPTH_MAX} levels \
                 of callbacks",
                api.name
            );
            sink.push(Diagnostic::new(&TOO_LARGE, node.span(), message).help(
                "describe fewer callbacks: each one counts again below each callback that leads \
                 to it, with its parameters and responses",
            ));
        }
    }
}

fn methods<'a>(parts: &Parts<'_, 'a>, item: NodeRef<'a>) -> Vec<(Method, NodeRef<'a>)> {
    let of = |(key, operation): (&str, NodeRef<'a>)| {
        Some((Method::of_key(key, Version::V32)?, operation)).filter(|_| operation.is_map())
    };
    let own = parts.entries(Some(item)).into_iter().filter_map(of);
    let more = parts.entries(parts.field(item, "additionalOperations"));
    let more = more
        .into_iter()
        .filter_map(|(key, operation)| Some((Method::additional(key)?, operation)));
    own.chain(more).collect()
}

fn written<'a>(parts: &Parts<'_, 'a>, holder: NodeRef<'a>) -> Vec<DocumentParameter<'a>> {
    let list = parts.field(holder, "parameters");
    let items = list.into_iter().flat_map(NodeRef::items);
    items
        .filter_map(|item| {
            let node = parts.resolver.resolve(item)?;
            let place = match parts.field(node, "in")?.as_str()? {
                "path" => In::Path,
                "query" => In::Query,
                "header" => In::Header,
                "cookie" => In::Cookie,
                "querystring" => In::Querystring,
                _ => return None,
            };
            Some(DocumentParameter {
                place,
                name: parts.field(node, "name")?.as_str()?,
                node,
            })
        })
        .collect()
}
