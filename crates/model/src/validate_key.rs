//! Key `validate` at operations, in documents and in gateway.yaml.

use diag::NodeRef;
use diag::shape::Shape;
use policy::declared::{self, Settings};
use policy::validation::Mode;

/// Validation mode of requests in a key `validate` at any level.
pub(crate) fn requests(node: NodeRef<'_>) -> Mode {
    policy::guard::validate::author::read(node).request
}

/// Parts of a `validate` at any level that cannot run yet.
pub(crate) fn later(node: NodeRef<'_>) -> Settings {
    declared::later(
        node,
        &Shape::Object(&policy::guard::validate::author::SHAPE),
    )
}
