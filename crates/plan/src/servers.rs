//! Comparison of the servers that documents name for each operation.
//!
//! The gateway behaves as before, but clients that are generated from the document send their
//! requests and credentials to these URLs. The list of an operation is its own one, otherwise that
//! of its path item, otherwise that of the document (OpenAPI 3.1.1, section 4.8.10.1). A list that
//! is written at another place is therefore no change.

use std::collections::BTreeSet;

use bundle::ir;
use model::contract::prose::SERVERS;
use model::source_map::SourceMap;
use serde_json::json;

use crate::clients::routed;
use crate::lifecycle::{EarlierKeys, api_of};
use crate::{Change, Class, Plan, Section};

/// Compares the servers of the operations of both sides. An operation is compared with the
/// operations that served its requests. A changed list of the document is one change of the API.
pub(super) fn compare(
    (old, new): (&SourceMap, &SourceMap),
    keys: &EarlierKeys,
    gateway: &ir::Gateway,
    plan: &mut Plan,
) {
    let mut documents = BTreeSet::new();
    for key in new.operations.keys() {
        let is = Servers::of(new, key);
        for was in keys
            .get(key)
            .filter(|was| old.operations.contains_key(*was))
        {
            let was = Servers::of(old, was);
            if was.list == is.list {
                continue;
            }
            let api = api_of(key);
            match (was.is_own || is.is_own, routed(gateway, api, key)) {
                (true, Some(operation)) => {
                    let change = change(SERVERS.to_owned(), was.list, is.list);
                    plan.changes.push(change.of(operation));
                }
                _ => {
                    if documents.insert((api, was.list, is.list)) {
                        let subject = format!("{api}: {SERVERS}");
                        plan.changes.push(change(subject, was.list, is.list));
                    }
                }
            }
        }
    }
}

/// Servers of an operation.
struct Servers<'a> {
    /// URLs with their variables, separated by spaces. `None`: the document names no servers.
    list: Option<&'a str>,
    /// True if the list is that of the operation or its path item.
    is_own: bool,
}

impl<'a> Servers<'a> {
    fn of(side: &'a SourceMap, key: &str) -> Self {
        let own = side.operations.get(key);
        let own = own.and_then(|operation| operation.prose.get(SERVERS));
        let of_document = || side.apis.get(api_of(key))?.document.get(SERVERS);
        Self {
            list: own.or_else(of_document).map(String::as_str),
            is_own: own.is_some(),
        }
    }
}

/// Creates a change of a list of servers. The class is [`Class::Moved`] if a host or a base path is
/// new or gone, or if the first server has another one: generated clients use it by default.
fn change(subject: String, old: Option<&str>, new: Option<&str>) -> Change {
    let bases = |list: Option<&str>| -> Vec<Option<String>> {
        let all = list.unwrap_or_default().split_whitespace();
        all.map(base_of).collect()
    };
    let (was, is) = (bases(old), bases(new));
    let all =
        |side: &[Option<String>]| -> BTreeSet<String> { side.iter().flatten().cloned().collect() };
    let first = |side: &[Option<String>]| side.first().cloned().flatten();
    let is_moved = all(&was) != all(&is) || first(&was) != first(&is);
    let class = if is_moved { Class::Moved } else { Class::Doc };
    Change::new(
        Section::Breaking,
        class,
        "servers-changed",
        subject,
        json!(old),
        json!(new),
    )
}

/// Scheme, host, port and base path of a server, with the values of its variables. `None` for `/`, the
/// default of a document without servers.
fn base_of(server: &str) -> Option<String> {
    let (url, variables) = match server.split_once(';') {
        Some((url, variables)) => (url, variables),
        None => (server, ""),
    };
    // Browsers read `\\` as `/` (WHATWG URL).
    let url = url.replace('\\', "/");
    let start = match url.split_once("//") {
        Some((scheme, _)) => scheme.len() + 2,
        None => 0,
    };
    // A URL without a scheme that begins with a variable begins with its host.
    let end = match start > 0 || url.starts_with('{') {
        true => url[start..]
            .find(['/', '?', '#'])
            .map_or(url.len(), |at| start + at),
        false => 0,
    };
    let (host, path) = url.split_at(end);
    let path = path.trim_end_matches('/');
    let is_root = host.is_empty() && path.is_empty();
    (!is_root).then(|| format!("{}{path};{variables}", host.to_ascii_lowercase()))
}
