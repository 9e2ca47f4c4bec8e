//! Key `auth` of gateway.yaml and of the root `x-gateway` of a document: verifiers of credentials.

use bundle::ir;
use diag::shape;
use diag::{NodeRef, Sink};

use super::values::{declared_kind, entries, name_in};
use crate::Defined;

/// Reads the verifiers that gateway.yaml or the root `x-gateway` of a document defines.
pub(crate) fn verifiers(root: NodeRef<'_>, api: Option<&str>) -> Vec<Defined<ir::Verifier>> {
    let made = entries(root, "auth", |key, node| {
        let kind = node.get("kind")?.scalar_text()?;
        let checked = verifier(kind, node)?;
        let name = api.map_or_else(|| key.clone(), |api| name_in(api, &key));
        Some(ir::Verifier { name, checked })
    });
    made.into_iter().map(|(_, entry)| entry).collect()
}

/// Reads a verifier, including kinds that gwd does not support yet. `None` if the kind is unknown.
pub(crate) fn verifier(kind: &str, node: NodeRef<'_>) -> Option<policy::auth::Checked> {
    let shape = shape::Shape::Kinds(policy::auth::KINDS);
    policy::auth::check(kind, node).or_else(|| {
        shape::check(node, &shape, &mut Sink::default())
            .then(|| policy::auth::Checked::Declared(declared_kind(kind, node, &shape)))
    })
}
