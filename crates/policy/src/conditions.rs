//! Conditions on fields and query parameters of a request: `match` of an operation, and `when` of
//! an entry of a split.

use http::{HeaderMap, HeaderValue};
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

/// True if at least one server may consider all conditions to hold. A server may read another
/// spelling of the parameter's name as that parameter, or decode escapes such as `%u0061`. It may
/// also separate parameters at `;`, or join the lines of a field.
///
/// If the result is true and that of [`hold`] is false, [`is_ambiguous`] is true. The gateway then
/// refuses the request, which would otherwise reach an operation without these conditions.
#[must_use]
pub fn may_hold(conditions: &[Condition], headers: &HeaderMap, query: Option<&str>) -> bool {
    conditions.iter().all(|condition| {
        holds(condition, headers, query) || holds_elsewhere(condition, headers, query)
    })
}

/// True if one condition holds.
#[must_use]
pub fn holds(condition: &Condition, headers: &HeaderMap, query: Option<&str>) -> bool {
    outcomes(condition, headers, query).any(|passes| passes)
}

/// True if servers may evaluate a condition differently. There are three cases. A field or
/// parameter is repeated, and at least one value satisfies the condition: servers use the first
/// value, the last, or all values. Some servers treat the name of a different parameter as equal,
/// or leave out the parameter ([`auth::has_lookalike`]). The condition does not hold at the
/// gateway, but can hold at a server (see [`may_hold`]).
#[must_use]
pub fn is_ambiguous(conditions: &[Condition], headers: &HeaderMap, query: Option<&str>) -> bool {
    conditions.iter().any(|condition| {
        is_repeated(condition, headers, query)
            || has_lookalike(condition, query)
            || !holds(condition, headers, query) && holds_elsewhere(condition, headers, query)
    })
}

/// True if the field or parameter of a condition has several values and at least one of them
/// satisfies the test of the value. A server that uses all values compares the list: `1, 1` is not
/// `1`.
fn is_repeated(condition: &Condition, headers: &HeaderMap, query: Option<&str>) -> bool {
    let (Condition::Header(_, test) | Condition::Query(_, test)) = condition;
    match test {
        Test::Exact(_) | Test::Prefix(_) => {
            let (mut values, mut passed) = (0, false);
            for passes in outcomes(condition, headers, query) {
                values += 1;
                passed |= passes;
            }
            values > 1 && passed
        }
        Test::Present => false,
    }
}

/// True if the condition can hold at other servers. Such servers read other spellings of a
/// parameter's name, decode escapes such as `%u0061`, separate parameters at `;`, or join the lines
/// of a field.
fn holds_elsewhere(condition: &Condition, headers: &HeaderMap, query: Option<&str>) -> bool {
    let (wanted, test, query) = match (condition, query) {
        (Condition::Header(name, test), _) => return holds_joined((name, test), headers),
        (Condition::Query(_, _), None) => return false,
        (Condition::Query(wanted, test), Some(query)) => (wanted, test, query),
    };
    query.split('&').any(|pair| {
        let is_list = pair.contains(';');
        pair.split(';').enumerate().any(|(index, part)| {
            let (name, value) = auth::name_and_value(part);
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

/// True if a field has several lines that satisfy the test as one list (RFC 9110 §5.3).
fn holds_joined((name, test): (&str, &Test), headers: &HeaderMap) -> bool {
    let lines = headers.get_all(name).iter();
    let lines: Vec<&[u8]> = lines.map(HeaderValue::as_bytes).collect();
    let separators: [&[u8]; 2] = [b", ", b","];
    lines.len() > 1 && separators.iter().any(|by| passes(test, &lines.join(*by)))
}

/// True if some servers treat another parameter of the query as the condition's parameter. See
/// [`auth::has_lookalike`].
fn has_lookalike(condition: &Condition, query: Option<&str>) -> bool {
    match condition {
        Condition::Header(..) => false,
        Condition::Query(name, test) => query
            .is_some_and(|query| auth::has_lookalike(query, name) || is_cut((name, test), query)),
    }
}

/// True if the condition holds for a parameter with a `;` in its value. Some servers end the value
/// there, and Go leaves the parameter out.
fn is_cut((name, test): (&str, &Test), query: &str) -> bool {
    pairs(Some(query)).any(|(key, value)| {
        value.contains(';')
            && decode_query(key).eq_ignore_ascii_case(name.as_bytes())
            && passes(test, &decode_query(value))
    })
}

/// Names and values in a query, still percent-encoded. See [`auth::name_and_value`].
fn pairs(query: Option<&str>) -> impl Iterator<Item = (&str, &str)> {
    let pairs = query.unwrap_or_default().split('&');
    pairs
        .filter(|pair| !pair.is_empty())
        .map(auth::name_and_value)
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
    let setting = |condition: &Condition| {
        let (place, name, test) = match condition {
            Condition::Header(name, test) => ("headers", name, test),
            Condition::Query(name, test) => ("query", name, test),
        };
        let (key, scalar) = match test {
            Test::Exact(text) => ("exact", Scalar::Text(text.clone())),
            Test::Prefix(text) => ("prefix", Scalar::Text(text.clone())),
            Test::Present => ("present", Scalar::Flag(true)),
        };
        Settings::default().with(&[place, name, key], Value::One(scalar))
    };
    conditions.iter().map(setting).collect()
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
                    "a condition needs exactly one of `exact`, `prefix` and `present`",
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
                    "a condition needs exactly one of `exact`, `prefix` and `present`",
                ));
                None
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A line is one value, also if it is a list. Two lines are a list (RFC 9110 §5.3), which
    /// servers read as its first item, its last item or the whole list.
    #[test]
    fn repeated_values_are_compared_as_servers_do() {
        let exact = |text: &str| Test::Exact(text.into());
        let prefix = |text: &str| Test::Prefix(text.into());
        let none: &[&str] = &[];
        // Test, lines, and the results of `hold`, `may_hold` and `is_ambiguous`.
        for (test, lines, expected) in [
            (exact("1"), none, [false, false, false]),
            (exact("1"), &["1"], [true, true, false]),
            (exact("1"), &["1, 0"], [false, false, false]),
            (exact("1"), &["1, 1"], [false, false, false]),
            (exact("1"), &["1", "0"], [true, true, true]),
            (exact("1"), &["0", "1"], [true, true, true]),
            (exact("1"), &["1", "1"], [true, true, true]),
            (exact("1"), &["0", "2"], [false, false, false]),
            (exact("1, 0"), &["1, 0"], [true, true, false]),
            (exact("1, 0"), &["1", "0"], [false, true, true]),
            (exact("1,0"), &["1", "0"], [false, true, true]),
            (prefix("1"), &["1, 0"], [true, true, false]),
            (prefix("1"), &["10", "11"], [true, true, true]),
            (prefix("1, "), &["1", "0"], [false, true, true]),
            (Test::Present, &["1", "0"], [true, true, false]),
        ] {
            let conditions = [Condition::Header("x-adm".into(), test)];
            let mut headers = HeaderMap::new();
            for line in lines {
                headers.append("x-adm", HeaderValue::from_static(line));
            }
            let found = [
                hold(&conditions, &headers, None),
                may_hold(&conditions, &headers, None),
                is_ambiguous(&conditions, &headers, None),
            ];
            assert_eq!(found, expected, "{conditions:?} {lines:?}");
        }
    }

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
        // The npm package `ufo` ignores the first `=`.
        for query in ["=action=ad+min", "x=1&==Action=ad+min"] {
            assert!(holds(query) && is_ambiguous(query), "{query}");
        }
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
            "=action[]=ad+min",
            "x;=action=ad+min",
            ".action=ad+min",
            "%2Eaction=ad+min",
            "action.x=ad+min",
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

    /// A parameter that only some servers find satisfies a condition on its presence at such a
    /// server. The queries are all texts of up to four of these parts.
    #[test]
    fn condition_may_hold_for_each_lookalike() {
        let parts = [
            "q", "Q", "x", "1", "=", "&", ";", "[", "]", ".", "?", "!", "+", "%00", "%zz", "%u0071",
        ];
        let mut queries = vec![String::new()];
        let mut begin = 0;
        for _ in 0..4 {
            let end = queries.len();
            for at in begin..end {
                let longer = parts.map(|part| format!("{}{part}", queries[at]));
                queries.extend(longer);
            }
            begin = end;
        }
        let headers = HeaderMap::new();
        let mut lookalikes = 0;
        for query in &queries {
            for test in [Test::Present, Test::Exact("1".into())] {
                let is_presence = test == Test::Present;
                let wanted = [Condition::Query("q".into(), test)];
                let may_hold = may_hold(&wanted, &headers, Some(query));
                if is_presence && auth::has_lookalike(query, "q") {
                    lookalikes += 1;
                    assert!(may_hold, "{query}");
                }
                let is_missed = may_hold && !hold(&wanted, &headers, Some(query));
                let is_ambiguous = is_ambiguous(&wanted, &headers, Some(query));
                assert!(!is_missed || is_ambiguous, "{query}");
            }
        }
        assert!(lookalikes > 10_000, "{lookalikes}");
    }

    #[test]
    fn condition_on_a_value_with_semicolon_is_ambiguous() {
        let is_ambiguous = |test: Test, query| {
            let wanted = [Condition::Query("q".into(), test)];
            let headers = HeaderMap::new();
            assert!(hold(&wanted, &headers, Some(query)), "{query}");
            is_ambiguous(&wanted, &headers, Some(query))
        };
        assert!(is_ambiguous(Test::Exact("a;b".into()), "q=a;b"));
        assert!(is_ambiguous(Test::Prefix("a;b".into()), "q=a;bc"));
        assert!(!is_ambiguous(Test::Exact("a;b".into()), "q=a%3Bb"));
        assert!(is_ambiguous(Test::Prefix("a".into()), "q=a;b"));
        assert!(is_ambiguous(Test::Present, "q=a;b"));
        assert!(!is_ambiguous(Test::Present, "q=a&x=1;y=2"));
    }

    /// Tomcat and Go leave out a parameter with a malformed escape.
    #[test]
    fn condition_on_a_malformed_value_is_ambiguous() {
        let outcome = |test: &Test, query| {
            let wanted = [Condition::Query("preview".into(), test.clone())];
            let headers = HeaderMap::new();
            let query = Some(query);
            let holds = hold(&wanted, &headers, query);
            (holds, is_ambiguous(&wanted, &headers, query))
        };
        let prefix = Test::Prefix("1".into());
        for query in [
            "preview=1%zz",
            "preview=1%",
            "preview=1%u00",
            "Preview=1%4&x=1",
        ] {
            for test in [&Test::Present, &prefix] {
                assert_eq!(outcome(test, query), (true, true), "{query}");
            }
        }
        for query in ["preview=1%25zz", "preview=1&x=%zz&y%=1"] {
            for test in [&Test::Present, &prefix] {
                assert_eq!(outcome(test, query), (true, false), "{query}");
            }
        }
        assert_eq!(outcome(&prefix, "preview=1;"), (true, true));
        assert_eq!(outcome(&Test::Present, "preview%=1"), (false, false));
    }
}
