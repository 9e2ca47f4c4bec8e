//! Conditions beside path and method: fields and query parameters.

use bundle::ir::{Condition, Test};
use http::HeaderMap;

/// Whether all conditions hold. A parameter or field that stands several times fulfils a
/// condition with any of its values.
pub(super) fn hold(conditions: &[Condition], headers: &HeaderMap, query: Option<&str>) -> bool {
    conditions.iter().all(|condition| match condition {
        Condition::Header(name, test) => headers
            .get_all(name.as_str())
            .iter()
            .any(|value| passes(test, value.as_bytes())),
        Condition::Query(name, test) => query
            .unwrap_or_default()
            .split('&')
            .filter(|pair| !pair.is_empty())
            .any(|pair| {
                let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
                key == name && passes(test, value.as_bytes())
            }),
    })
}

fn passes(test: &Test, value: &[u8]) -> bool {
    match test {
        Test::Exact(text) => value == text.as_bytes(),
        Test::Prefix(text) => value.starts_with(text.as_bytes()),
        Test::Present => true,
    }
}
