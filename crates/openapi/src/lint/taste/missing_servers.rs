//! Rule for a document without servers.

use diag::{Diagnostic, Level, Lint, Sink};

use crate::lint::Place;
use sources::v30;

/// Lint that this rule reports.
pub(super) static LINT: Lint = Lint {
    code: "GW0716",
    name: "missing-servers",
    level: Level::Warn,
    summary: "a document without servers",
    explain: "Clients find the API by `servers`. Without them, clients assume the API at `/` of \
the host that served the document. The gateway does not use `servers`: gateway.yaml mounts the API.",
    bad: v30!("paths: {}\n"),
    good: v30!("paths: {}\nservers: [{url: 'https://a.test'}]\n"),
};

pub(super) fn check(place: &Place<'_, '_>, sink: &mut Sink) {
    let servers = place.node.get("servers");
    if servers.is_none_or(|servers| servers.is_list() && servers.items().len() == 0) {
        sink.push(
            Diagnostic::new(&LINT, place.at, "the document has no `servers`")
                .help("add `servers: [{url: …}]`"),
        );
    }
}
