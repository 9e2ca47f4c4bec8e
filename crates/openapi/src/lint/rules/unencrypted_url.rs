//! Rule for a server or a credential URL without TLS.

use diag::{Diagnostic, Level, Lint, NodeRef, Sink};

use crate::lint::Place;
use sources::v30;

/// Lint that this rule reports.
pub(super) static LINT: Lint = Lint {
    code: "GW0364",
    name: "unencrypted-url",
    level: Level::Warn,
    summary: "the URL of a server or of a login endpoint without TLS",
    explain: "Messages to an `http:` URL, with their credentials, can be read and changed in \
transit. Addresses of the local machine are not reported.",
    bad: v30!("paths: {}\nservers: [{url: 'http://a.test'}]\n"),
    good: v30!("paths: {}\nservers: [{url: 'https://a.test'}]\n"),
};

pub(super) fn check(place: &Place<'_, '_>, sink: &mut Sink) {
    let here = FIELDS.iter().filter_map(|key| place.node.get(key));
    let flows = place
        .node
        .get("flows")
        .into_iter()
        .flat_map(NodeRef::entries);
    let inside = flows.flat_map(|(_, flow)| FIELDS.iter().filter_map(move |key| flow.get(key)));
    for url in here.chain(inside) {
        let Some(text) = url.as_str() else { continue };
        let Some((scheme, rest)) = text.split_once("://") else {
            continue;
        };
        let plain = ["http", "ws"]
            .iter()
            .any(|plain| scheme.eq_ignore_ascii_case(plain));
        if plain && !is_own_machine(rest) {
            sink.push(
                Diagnostic::new(
                    &LINT,
                    url.span(),
                    "messages to this URL can be read in transit",
                )
                .help(format!("write `{scheme}s://…`")),
            );
        }
    }
}

const FIELDS: &[&str] = &[
    "url",
    "authorizationUrl",
    "deviceAuthorizationUrl",
    "tokenUrl",
    "refreshUrl",
    "openIdConnectUrl",
    "oauth2MetadataUrl",
];

fn is_own_machine(rest: &str) -> bool {
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let host = match authority.strip_prefix('[') {
        Some(v6) => v6.split(']').next().unwrap_or_default(),
        None => authority.split(':').next().unwrap_or_default(),
    };
    let local = host.eq_ignore_ascii_case("localhost") || host.ends_with(".localhost");
    local || host == "::1" || host.starts_with("127.")
}
