//! Conditions beside path and method: fields and query parameters.

use bundle::ir::{Condition, Test};
use http::HeaderMap;
use policy::auth::decode_query;

/// Whether all conditions hold. A parameter or field that stands several times fulfils a
/// condition with any of its values; those of a query are compared decoded.
pub(super) fn hold(conditions: &[Condition], headers: &HeaderMap, query: Option<&str>) -> bool {
    conditions
        .iter()
        .all(|condition| holds(condition, headers, query))
}

/// Whether one condition holds.
pub(super) fn holds(condition: &Condition, headers: &HeaderMap, query: Option<&str>) -> bool {
    match condition {
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
                *decode_query(key) == *name.as_bytes() && passes(test, &decode_query(value))
            }),
    }
}

fn passes(test: &Test, value: &[u8]) -> bool {
    match test {
        Test::Exact(text) => value == text.as_bytes(),
        Test::Prefix(text) => value.starts_with(text.as_bytes()),
        Test::Present => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_spelling_is_no_other_parameter() {
        let wanted = [Condition::Query(
            "action".into(),
            Test::Exact("ad min".into()),
        )];
        let holds = |query| hold(&wanted, &HeaderMap::new(), Some(query));
        for query in [
            "action=ad%20min",
            "action=ad+min",
            "%61ction=%61d+min",
            "x=1&act%69on=ad%20min",
        ] {
            assert!(holds(query), "{query}");
        }
        for query in ["action=admin", "%2561ction=ad+min", ""] {
            assert!(!holds(query), "{query}");
        }
    }
}
