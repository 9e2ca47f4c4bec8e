//! Keys `consumers` and `consumers_file`: permitted callers with the hashes of their credentials.

use std::collections::{BTreeMap, BTreeSet};

use bundle::ir;
use diag::shape::{self, BAD_VALUE};
use diag::{Diagnostic, NodeRef, Sink, Span, read};

use crate::Defined;
use vocab::lints::{CONSUMER_TWICE, CREDENTIAL_TWICE};

/// SHA-256 of the empty text, which an unset variable gives.
const EMPTY: [u8; 32] = [
    0xe3, 0xb0, 0xc4, 0x42, 0x98, 0xfc, 0x1c, 0x14, 0x9a, 0xfb, 0xf4, 0xc8, 0x99, 0x6f, 0xb9, 0x24,
    0x27, 0xae, 0x41, 0xe4, 0x64, 0x9b, 0x93, 0x4c, 0xa4, 0x95, 0x99, 0x1b, 0x78, 0x52, 0xb8, 0x55,
];

/// Reads all consumers, and the names of those in the file.
pub(super) fn consumers(
    own: Option<NodeRef<'_>>,
    file: Option<NodeRef<'_>>,
    sink: &mut Sink,
) -> (Vec<Defined<ir::Consumer>>, Option<BTreeSet<String>>) {
    let file = file.filter(|file| {
        let wrapped = file
            .entry("consumers")
            .filter(|_| file.entries().len() == 1);
        let is_map_of_maps = |node: NodeRef<'_>| {
            node.is_map() && node.entries().all(|(_, consumer)| consumer.is_map())
        };
        if let Some((entry, _)) = wrapped.filter(|(_, inner)| is_map_of_maps(*inner)) {
            sink.push(
                Diagnostic::new(
                    &BAD_VALUE,
                    entry.key_span,
                    "a `consumers_file` is the map of consumers itself",
                )
                .help(
                    "remove the line `consumers:`; the names of consumers begin at the left margin",
                ),
            );
            return false;
        }
        shape::check(*file, &vocab::gateway::CONSUMERS, sink);
        true
    });
    let mut seen: BTreeMap<(&str, [u8; 32]), Span> = BTreeMap::new();
    let mut consumers: Vec<Defined<ir::Consumer>> = Vec::new();
    let written = [own, file].into_iter().flatten();
    for (entry, node) in written.flat_map(NodeRef::entries) {
        let twice = |known: &&Defined<ir::Consumer>| *known.value.name == *entry.key;
        if let Some(known) = consumers.iter().find(twice) {
            sink.push(
                Diagnostic::new(
                    &CONSUMER_TWICE,
                    entry.key_span,
                    format!("the consumer `{}` occurs twice", entry.key.escape_debug()),
                )
                .related(known.span, "it is here, too")
                .help("write all its credentials in one of the files"),
            );
            continue;
        }
        let mut lists = [Vec::new(), Vec::new()];
        for (list, key) in lists.iter_mut().zip(["keys", "basic"]) {
            for item in node.get(key).into_iter().flat_map(NodeRef::items) {
                let Some(hash) = item.get("sha256") else {
                    continue;
                };
                let Ok(sha256) = read::sha256_hex(hash) else {
                    continue;
                };
                if sha256 == EMPTY {
                    sink.push(
                        Diagnostic::new(
                            &BAD_VALUE,
                            hash.span(),
                            "this is the sha256 of the empty text",
                        )
                        .label("an empty credential is never valid")
                        .help("print one with `printf %s \"$CREDENTIAL\" | sha256sum`, and see that `$CREDENTIAL` is set"),
                    );
                    continue;
                }
                let not_after = item
                    .get("not_after")
                    .and_then(NodeRef::scalar_text)
                    .and_then(shape::read_date);
                if let Some(first) = seen.insert((key, sha256), hash.span()) {
                    sink.push(
                        Diagnostic::new(
                            &CREDENTIAL_TWICE,
                            hash.span(),
                            "this credential occurs twice",
                        )
                        .related(first, "the first one is here")
                        .help("remove it from one of them: a credential identifies one consumer"),
                    );
                    continue;
                }
                list.push(ir::Credential { sha256, not_after });
            }
            list.sort();
        }
        let [keys, basic] = lists;
        let value = ir::Consumer {
            name: entry.key.to_string(),
            keys,
            basic,
            declared: policy::declared::later(
                node,
                &shape::Shape::Object(&vocab::gateway::CONSUMER),
            ),
            claims: node
                .get("claims")
                .map(|claims| policy::declared::whole(claims, &vocab::gateway::CLAIMS))
                .unwrap_or_default(),
            groups: groups(node),
        };
        consumers.push(Defined {
            value,
            span: entry.key_span,
            node: Some(node.id()),
        });
    }
    let in_file = file.map(|file| file.entries().map(|(entry, _)| entry.key.to_string()));
    (consumers, in_file.map(Iterator::collect))
}

/// `groups` of a consumer, sorted.
fn groups(node: NodeRef<'_>) -> Vec<String> {
    let written = node.get("groups").filter(|node| !node.is_null());
    let written = written.into_iter().flat_map(NodeRef::items);
    let mut groups: Vec<String> = written
        .filter_map(|group| group.scalar_text().map(str::to_owned))
        .collect();
    groups.sort();
    groups.dedup();
    groups
}
