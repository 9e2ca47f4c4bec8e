//! Conditions on fields and query parameters of a request: `match` of an operation, and `when` of
//! an entry of a split.

use http::HeaderMap;
use minicbor::{Decode, Encode};

use crate::auth::{self, decode_query};
use crate::declared::{Scalar, Settings, Value};

/// Condition on a field or a query parameter of a request.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode)]
pub enum Condition {
    /// Field name in lower case, and the test of its value.
    #[n(0)]
    Header(#[n(0)] String, #[n(1)] Test),
    /// Name of a query parameter, and the test of its value.
    #[n(1)]
    Query(#[n(0)] String, #[n(1)] Test),
}

/// Test of the value of a field or query parameter.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode)]
pub enum Test {
    /// The value equals this text.
    #[n(0)]
    Exact(#[n(0)] String),
    /// The value begins with this text.
    #[n(1)]
    Prefix(#[n(0)] String),
    /// The field or parameter is present.
    #[n(2)]
    Present,
}

/// True if all conditions hold. A repeated parameter or field satisfies a condition if any of its
/// values does. Query parameters are compared decoded. Letter case in their names is ignored,
/// because some servers ignore it.
#[must_use]
pub fn hold(conditions: &[Condition], headers: &HeaderMap, query: Option<&str>) -> bool {
    conditions
        .iter()
        .all(|condition| holds(condition, headers, query))
}

/// True if at least one server may consider all conditions to hold. For each condition, servers may
/// differ in three ways: they read another spelling of the parameter's name as that parameter, they
/// decode escapes such as `%u0061`, or they also separate parameters at `;`.
///
/// If the result is true and that of [`hold`] is false, [`is_ambiguous`] is true. The gateway then
/// refuses the request, which would otherwise reach an operation without these conditions.
#[must_use]
pub fn may_hold(conditions: &[Condition], headers: &HeaderMap, query: Option<&str>) -> bool {
    conditions
        .iter()
        .all(|condition| holds(condition, headers, query) || holds_elsewhere(condition, query))
}

/// True if one condition holds.
#[must_use]
pub fn holds(condition: &Condition, headers: &HeaderMap, query: Option<&str>) -> bool {
    outcomes(condition, headers, query).any(|passes| passes)
}

/// True if servers may evaluate a condition differently. Either a field or parameter is repeated
/// and only some of its values satisfy the condition: servers use the first value, the last or all.
/// Or a parameter has another spelling of the condition's name.
#[must_use]
pub fn is_ambiguous(conditions: &[Condition], headers: &HeaderMap, query: Option<&str>) -> bool {
    conditions.iter().any(|condition| {
        let mut outcomes = outcomes(condition, headers, query);
        let differ = outcomes
            .next()
            .is_some_and(|first| outcomes.any(|other| other != first));
        differ
            || has_lookalike(condition, query)
            || !holds(condition, headers, query) && holds_elsewhere(condition, query)
    })
}

/// True if the condition can hold at other servers. Such servers read other spellings of a
/// parameter's name, decode escapes such as `%u0061`, or separate parameters at `;`.
fn holds_elsewhere(condition: &Condition, query: Option<&str>) -> bool {
    let (Condition::Query(wanted, test), Some(query)) = (condition, query) else {
        return false;
    };
    query.split('&').any(|pair| {
        let is_list = pair.contains(';');
        pair.split(';').enumerate().any(|(index, part)| {
            let (name, value) = part.split_once('=').unwrap_or((part, ""));
            // [`holds`] has already tested the value of a parameter with the exact name.
            let is_tested = index == 0
                && !is_list
                && decode_query(name).eq_ignore_ascii_case(wanted.as_bytes());
            let passes_elsewhere = || {
                !is_tested && passes(test, &decode_query(value))
                    || auth::without_unicode(value)
                        .is_some_and(|value| passes(test, &decode_query(&value)))
            };
            auth::is_written_as(name, wanted) && passes_elsewhere()
        })
    })
}

/// True if some servers treat another parameter of the query as the condition's parameter. See
/// [`auth::has_lookalike`].
fn has_lookalike(condition: &Condition, query: Option<&str>) -> bool {
    match condition {
        Condition::Header(..) => false,
        Condition::Query(name, _) => query.is_some_and(|query| auth::has_lookalike(query, name)),
    }
}

/// Names and values in a query, still percent-encoded.
fn pairs(query: Option<&str>) -> impl Iterator<Item = (&str, &str)> {
    let pairs = query.unwrap_or_default().split('&');
    let pairs = pairs.filter(|pair| !pair.is_empty());
    pairs.map(|pair| pair.split_once('=').unwrap_or((pair, "")))
}

/// Result of a condition's test for each value of its field or parameter, in the order of the
/// values.
fn outcomes(
    condition: &Condition,
    headers: &HeaderMap,
    query: Option<&str>,
) -> impl Iterator<Item = bool> {
    let (field, parameter, test) = match condition {
        Condition::Header(name, test) => (Some(name), None, test),
        Condition::Query(name, test) => (None, Some(name), test),
    };
    let fields = field.map(|name| headers.get_all(name.as_str()));
    let fields = fields.into_iter().flatten();
    let fields = fields.map(|value| passes(test, value.as_bytes()));
    let parameters = parameter.into_iter().flat_map(move |name| {
        pairs(query).filter_map(move |(key, value)| {
            let is_named = decode_query(key).eq_ignore_ascii_case(name.as_bytes());
            is_named.then(|| passes(test, &decode_query(value)))
        })
    });
    fields.chain(parameters)
}

fn passes(test: &Test, value: &[u8]) -> bool {
    match test {
        Test::Exact(text) => value == text.as_bytes(),
        Test::Prefix(text) => value.starts_with(text.as_bytes()),
        Test::Present => true,
    }
}

/// Conditions as settings under the keys of `match`, for the comparison in plans.
#[must_use]
pub fn settings(conditions: &[Condition]) -> Settings {
    let mut settings = Settings::default();
    for condition in conditions {
        let (place, name, test) = match condition {
            Condition::Header(name, test) => ("headers", name, test),
            Condition::Query(name, test) => ("query", name, test),
        };
        let (key, scalar) = match test {
            Test::Exact(text) => ("exact", Scalar::Text(text.clone())),
            Test::Prefix(text) => ("prefix", Scalar::Text(text.clone())),
            Test::Present => ("present", Scalar::Flag(true)),
        };
        settings = settings.with(&[place, name, key], Value::One(scalar));
    }
    settings
}

#[cfg(feature = "author")]
pub use author::SHAPE;

#[cfg(feature = "author")]
pub mod author {
    //! Format, checks and parser of conditions in configuration files.

    use std::collections::BTreeMap;

    use diag::shape::{BAD_VALUE, Field, Object, Rule, Shape};
    use diag::{Diagnostic, NodeRef, Sink, Span};

    use super::{Condition, Test};
    use crate::forms;
    use crate::managed::is_removed;

    /// Conditions on fields and query parameters, all of which must hold.
    pub static SHAPE: Object = Object {
        what: "conditions",
        fields: &[
            Field::optional(
                "headers",
                Shape::Keyed(&forms::FIELD, &Shape::Object(&TEST)),
                "Fields.",
            ),
            Field::optional(
                "query",
                Shape::Table(&Shape::Object(&TEST)),
                "Query parameters.",
            ),
        ],
        rules: &[],
    };

    static TEST: Object = Object {
        what: "a test of a value",
        fields: &[
            Field::optional("exact", Shape::Text, "Value equals this string."),
            Field::optional("prefix", Shape::Text, "Value begins with this string."),
            Field::optional("present", Shape::True, "Value is present."),
        ],
        rules: &[Rule::Holds(one_test)],
    };

    fn one_test(node: NodeRef<'_>, sink: &mut Sink) {
        let keys = ["exact", "prefix", "present"];
        let there = keys
            .iter()
            .filter(|key| node.get(key).is_some_and(|value| !value.is_null()));
        if there.count() != 1 {
            sink.push(
                Diagnostic::new(
                    &BAD_VALUE,
                    node.span(),
                    "a test must have exactly one of `exact`, `prefix` and `present`",
                )
                .help("choose one of them"),
            );
        }
    }

    /// Reads conditions from a node that fits [`SHAPE`].
    pub fn read(node: NodeRef<'_>, sink: &mut Sink) -> Vec<Condition> {
        let mut conditions = Vec::new();
        let mut headers: BTreeMap<String, Span> = BTreeMap::new();
        for (entry, value) in node.get("headers").into_iter().flat_map(NodeRef::entries) {
            let Ok(name) = http::HeaderName::try_from(&*entry.key) else {
                sink.push(Diagnostic::new(
                    &BAD_VALUE,
                    entry.key_span,
                    format!("`{}` is not a field name", entry.key.escape_debug()),
                ));
                continue;
            };
            if is_removed(name.as_str()) {
                let text = entry.key.escape_debug();
                sink.push(
                    Diagnostic::new(
                        &BAD_VALUE,
                        entry.key_span,
                        format!("`{text}` cannot be a condition: gwd removes or sets it"),
                    )
                    .help(
                        "use another field: gwd removes, checks or replaces this field before it selects an operation",
                    ),
                );
                continue;
            }
            if let Some(first) = headers.get(name.as_str()) {
                sink.push(
                    Diagnostic::new(
                        &BAD_VALUE,
                        entry.key_span,
                        format!("the header `{}` occurs twice", entry.key.escape_debug()),
                    )
                    .related(*first, "first here")
                    .help("the letter case of header names does not count: write one test"),
                );
                continue;
            }
            headers.insert(name.as_str().to_owned(), entry.key_span);
            conditions.extend(
                read_test(value, sink)
                    .map(|test| Condition::Header(name.as_str().to_owned(), test)),
            );
        }
        for (entry, value) in node.get("query").into_iter().flat_map(NodeRef::entries) {
            conditions.extend(
                read_test(value, sink).map(|test| Condition::Query(entry.key.to_string(), test)),
            );
        }
        conditions
    }

    fn read_test(node: NodeRef<'_>, sink: &mut Sink) -> Option<Test> {
        let text = |key: &str| node.get(key).and_then(NodeRef::scalar_text);
        match (text("exact"), text("prefix"), text("present")) {
            (Some(exact), None, None) => Some(Test::Exact(exact.to_owned())),
            (None, Some(prefix), None) => Some(Test::Prefix(prefix.to_owned())),
            (None, None, Some(_)) => Some(Test::Present),
            _ => {
                sink.push(Diagnostic::new(
                    &BAD_VALUE,
                    node.span(),
                    "a test must have exactly one of `exact`, `prefix` and `present`",
                ));
                None
            }
        }
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
        let is_ambiguous = |query| is_ambiguous(&wanted, &HeaderMap::new(), Some(query));
        for query in [
            "Action=ad+min",
            "%41ction=x",
            "action=ad+min&ACTION=ad+min",
            "action=ad+min&action[]=x",
            "action=ad+min&+action=x",
            "action=ad+min&x=1;action=x",
            "action%00=ad+min",
        ] {
            assert!(is_ambiguous(query), "{query}");
        }
        assert!(holds("Action=ad+min") && !holds("action=Ad+min"));
        let may_hold = |query| may_hold(&wanted, &HeaderMap::new(), Some(query));
        for query in [
            "action[]=ad+min",
            "x=1;action=ad+min",
            "action=ad+min;x=1",
            "+action=ad+min",
            "action%00=ad%20min",
            "[action]=ad+min",
            "%5Baction%5D[x]=ad+min",
            "]action=ad+min",
            "action]=ad+min",
            "[[action]]=ad+min",
            "[]action=ad+min",
            "?action=ad+min",
            "!action=ad+min",
            "%u0061ction=ad+min",
            "%U0041ction[]=ad+min",
            "action=%u0061d+min",
            "action=x&%u005Baction]=%u0061d%20min",
        ] {
            assert!(
                !holds(query) && may_hold(query) && is_ambiguous(query),
                "{query}"
            );
        }
        for query in [
            "actions=ad+min",
            "action=x",
            "Action=x",
            "action[]=x",
            "x;action=x",
        ] {
            assert!(!may_hold(query), "{query}");
        }
        assert!(!is_ambiguous("action=ad+min&actions=x&xAction=y"));
    }
}
