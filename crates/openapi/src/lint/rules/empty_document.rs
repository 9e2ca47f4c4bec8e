//! Rule for a document with neither paths nor components nor webhooks.

use diag::{Diagnostic, Level, Lint, Sink};

use crate::lint::Place;
use crate::spec::Version;
use crate::spec::first_key;
use sources::v31;

/// Lint that this rule reports.
pub(super) static LINT: Lint = Lint {
    code: "GW0340",
    name: "empty-document",
    level: Level::Error,
    summary: "a document with neither paths nor components nor webhooks",
    explain: "From OpenAPI 3.1 on `paths` may be missing, but a document must have at least one of \
`paths`, `components` and `webhooks`.",
    bad: v31!("tags: []\n"),
    good: v31!("paths: {}\n"),
};

pub(super) fn check(place: &Place<'_, '_>, sink: &mut Sink) {
    let any = ["paths", "components", "webhooks"];
    if place.version != Version::V30 && any.iter().all(|key| place.node.get(key).is_none()) {
        sink.push(Diagnostic::new(
            &LINT,
            first_key(place.node),
            "the document has neither `paths` nor `components` nor `webhooks`",
        ));
    }
}
