//! Rule for a key of `content` that is not a media type.

use diag::{Diagnostic, Level, Lint, Sink};

use crate::lint::Place;
use sources::v30;

/// Lint that this rule reports.
pub(super) static LINT: Lint = Lint {
    code: "GW0331",
    name: "malformed-media-type",
    level: Level::Error,
    summary: "a key of `content` that is not a media type",
    explain: "The keys of `content` are media types or ranges of them (RFC 9110 §8.3.1 and §12.5.1): `application/json`, \
`text/*`, `application/json; charset=utf-8`.",
    bad: v30!("paths: {}\ncomponents: {requestBodies: {B: {content: {json: {}}}}}\n"),
    good: v30!("paths: {}\ncomponents: {requestBodies: {B: {content: {application/json: {}}}}}\n"),
};

pub(super) fn check(key: &str, place: &Place<'_, '_>, sink: &mut Sink) {
    let essence = key.split(';').next().unwrap_or_default().trim();
    let fine = essence.split_once('/').is_some_and(|(kind, subtype)| {
        is_token(kind) && is_token(subtype) && (kind != "*" || subtype == "*")
    });
    if !fine {
        sink.push(
            Diagnostic::new(
                &LINT,
                place.at,
                format!("`{}` is not a media type", key.escape_debug()),
            )
            .help("write one such as `application/json`"),
        );
    }
}

fn is_token(text: &str) -> bool {
    let token = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b);
    !text.is_empty() && text.bytes().all(token)
}
