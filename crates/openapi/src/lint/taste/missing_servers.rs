//! Rule for a document without servers.

use diag::{Diagnostic, Level, Lint, Sink};

use crate::lint::Place;
use sources::v30;

/// The finding.
pub(super) static LINT: Lint = Lint {
    code: "GW0716",
    name: "missing-servers",
    level: Level::Warn,
    summary: "a document without servers",
    explain: "Clients find the API by `servers`; where they are missing, it is taken to be at `/` of wherever the document came from. \
The gateway mounts an API by gateway.yaml, so it does without.",
    bad: v30!("paths: {}\n"),
    good: v30!("paths: {}\nservers: [{url: 'https://a.test'}]\n"),
};

pub(super) fn check(place: &Place<'_, '_>, sink: &mut Sink) {
    let servers = place.node.get("servers");
    if servers.is_none_or(|servers| servers.is_list() && servers.items().len() == 0) {
        sink.push(
            Diagnostic::new(&LINT, place.at, "no server is named")
                .help("add `servers: [{url: …}]`"),
        );
    }
}
