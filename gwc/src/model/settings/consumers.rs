//! `consumers`: who may call, by the hashes of their credentials.

use std::collections::BTreeMap;

use bundle::ir;
use diag::shape;
use diag::{Diagnostic, NodeRef, Sink, Span, read};

use crate::model::Defined;
use crate::model::lints::CREDENTIAL_TWICE;

pub(super) fn consumers(root: NodeRef<'_>, sink: &mut Sink) -> Vec<Defined<ir::Consumer>> {
    let mut seen: BTreeMap<(&str, [u8; 32]), Span> = BTreeMap::new();
    let mut consumers = Vec::new();
    for (entry, node) in root.get("consumers").into_iter().flat_map(NodeRef::entries) {
        let mut lists = [Vec::new(), Vec::new()];
        for (list, key) in lists.iter_mut().zip(["keys", "basic"]) {
            for item in node.get(key).into_iter().flat_map(NodeRef::items) {
                let Some(hash) = item.get("sha256") else {
                    continue;
                };
                let Ok(sha256) = read::sha256_hex(hash) else {
                    continue;
                };
                let not_after = item
                    .get("not_after")
                    .and_then(NodeRef::scalar_text)
                    .and_then(shape::read_date);
                if let Some(first) = seen.insert((key, sha256), hash.span()) {
                    sink.push(
                        Diagnostic::new(
                            &CREDENTIAL_TWICE,
                            hash.span(),
                            "this credential stands twice",
                        )
                        .related(first, "it stands here first"),
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
        };
        consumers.push(Defined {
            value,
            span: entry.key_span,
            node: Some(node.id()),
        });
    }
    consumers
}
