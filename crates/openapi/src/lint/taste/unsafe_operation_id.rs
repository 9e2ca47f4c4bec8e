//! Rule for an `operationId` with characters that are unsafe in URLs.

use diag::{Diagnostic, Level, Lint, Sink};

use crate::lint::Place;
use sources::v30;

/// Lint that this rule reports.
pub(super) static LINT: Lint = Lint {
    code: "GW0723",
    name: "unsafe-operation-id",
    level: Level::Warn,
    summary: "an operation's id with characters that URLs do not allow",
    explain: "Documentation turns `operationId` into links, and generators turn it into names. \
Letters, digits, `-`, `_`, `.` and `~` are safe everywhere.",
    bad: v30!(
        "paths:\n  /a:\n    get: {operationId: 'a b', responses: {'200': {description: ok}}}\n"
    ),
    good: v30!(
        "paths:\n  /a:\n    get: {operationId: a-b, responses: {'200': {description: ok}}}\n"
    ),
};

pub(super) fn check(place: &Place<'_, '_>, sink: &mut Sink) {
    let Some(id) = place.node.get("operationId") else {
        return;
    };
    let Some(text) = id.as_str() else { return };
    let safe = |c: char| c.is_ascii_alphanumeric() || "-_.~:/?#[]@!$&'()*+,;=".contains(c);
    if !text.chars().all(safe) {
        let message = format!("`{}` cannot be in a URL unescaped", text.escape_debug());
        sink.push(
            Diagnostic::new(&LINT, id.span(), message).help("use letters, digits, `-` and `_`"),
        );
    }
}
