//! Rule for a path that contains the name of a method.

use diag::{Diagnostic, Level, Lint, Sink};

use crate::lint::Place;
use sources::v30;

/// Lint that this rule reports.
pub(super) static LINT: Lint = Lint {
    code: "GW0719",
    name: "verb-in-path",
    level: Level::Warn,
    summary: "a path with the name of a method in it",
    explain: "The method names the action and the path names the resource: `GET /users`, not \
        `/get-users`.",
    bad: v30!("paths:\n  /get-users:\n    get: {responses: {'200': {description: ok}}}\n"),
    good: v30!("paths:\n  /a:\n    get: {responses: {'200': {description: ok}}}\n"),
};

pub(super) fn check(key: &str, place: &Place<'_, '_>, sink: &mut Sink) {
    let words = key.split(|c: char| !c.is_ascii_alphanumeric());
    let methods = [
        "get", "head", "post", "put", "patch", "delete", "options", "query",
    ];
    for word in words {
        if methods
            .iter()
            .any(|method| word.eq_ignore_ascii_case(method))
        {
            let message = format!("`{word}` is the name of a method");
            sink.push(Diagnostic::new(&LINT, place.at, message));
        }
    }
}
