//! Rule for an unknown scheme of HTTP authentication.

use diag::{Diagnostic, Level, Lint, Sink, suggest};

use crate::lint::Place;
use sources::v30;

/// Lint that this rule reports.
pub(super) static LINT: Lint = Lint {
    code: "GW0384",
    name: "unknown-http-scheme",
    level: Level::Warn,
    summary: "an unknown scheme of HTTP authentication",
    explain: "`scheme` is a name of IANA's registry of HTTP authentication schemes (RFC 9110 \
§16.4.1), as in `Authorization`: `bearer`, `basic`, …; letter case does not count.",
    bad: v30!("paths: {}\ncomponents: {securitySchemes: {s: {type: http, scheme: baerer}}}\n"),
    good: v30!("paths: {}\ncomponents: {securitySchemes: {s: {type: http, scheme: bearer}}}\n"),
};

pub(super) fn check(place: &Place<'_, '_>, sink: &mut Sink) {
    let Some(scheme) = place.node.get("scheme") else {
        return;
    };
    let Some(text) = scheme.as_str() else { return };
    if SCHEMES.iter().any(|known| known.eq_ignore_ascii_case(text)) {
        return;
    }
    let message = format!("`{}` is not a registered scheme", text.escape_debug());
    let finding = Diagnostic::new(&LINT, scheme.span(), message);
    sink.push(match suggest::nearest(text, SCHEMES.iter().copied()) {
        Some(near) => finding
            .label(format!("did you mean `{near}`?"))
            .fix(scheme.span(), near),
        None => finding.help(suggest::one_of(SCHEMES.iter().copied(), 4)),
    });
}

/// Schemes of the IANA "Hypertext Transfer Protocol (HTTP) Authentication Scheme Registry".
const SCHEMES: &[&str] = &[
    "bearer",
    "basic",
    "digest",
    "dpop",
    "concealed",
    "gnap",
    "hoba",
    "mutual",
    "negotiate",
    "oauth",
    "privatetoken",
    "scram-sha-1",
    "scram-sha-256",
    "vapid",
];
