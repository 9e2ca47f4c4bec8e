//! Selection of header fields and query parameters that meet given conditions and fail others.

use std::collections::BTreeMap;

use bundle::ir::{Condition, Test};
use http::{HeaderMap, HeaderName, HeaderValue};
use policy::auth::{self, mtls::Source};
use policy::conditions;
use validator::escaped;

/// Maximum number of combinations of values that are compared: 256. With more combinations, a
/// witness may be longer than necessary.
const COMBINATIONS_MAX: usize = 256;

/// Header fields and query parameters of a request, and the certificates that come with it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Values {
    /// Header fields: lower-case name and value.
    pub(crate) headers: Vec<(String, String)>,
    /// Query parameters: name and value.
    pub(crate) query: Vec<(String, String)>,
    /// Client certificates as [`policy::auth::mtls::witness`] writes them, with their sources.
    pub(crate) certificates: Vec<(Source, String)>,
}

impl Values {
    /// Number of bytes that the values add to a request: `name: value`, `?name=value`.
    pub(super) fn length(&self) -> usize {
        let of = |list: &[(String, String)], more: usize| -> usize {
            list.iter()
                .map(|(name, value)| name.len() + value.len() + more)
                .sum()
        };
        of(&self.headers, 4) + of(&self.query, 2)
    }

    /// Converts the values to the fields and the query of a request, as the engine sees them.
    fn seen(&self) -> Seen {
        let mut headers = HeaderMap::with_capacity(self.headers.len());
        for (name, value) in &self.headers {
            // The gateway removes or sets these fields before it selects an operation.
            if !policy::managed::is_removed(name)
                && let Ok(name) = HeaderName::try_from(name.as_str())
                && let Ok(value) = HeaderValue::from_bytes(value.as_bytes())
            {
                headers.append(name, value);
            }
        }
        let pairs = self.query.iter();
        let pairs = pairs.map(|(name, value)| format!("{}={}", escaped(name), escaped(value)));
        let query = pairs.collect::<Vec<_>>().join("&");
        let query = (!query.is_empty()).then_some(query);
        Seen { headers, query }
    }
}

/// Fields and query of a request as the engine sees them.
pub(crate) struct Seen {
    headers: HeaderMap,
    query: Option<String>,
}

impl Seen {
    /// True if the request can reach an operation with these conditions: the engine serves the
    /// request at the operation, or refuses the request as ambiguous.
    pub(crate) fn may_meet(&self, list: &[Condition]) -> bool {
        list.is_empty() || conditions::may_hold(list, &self.headers, self.query.as_deref())
    }

    /// True if the engine refuses the request as ambiguous for an operation with these conditions.
    pub(crate) fn is_ambiguous(&self, list: &[Condition]) -> bool {
        !list.is_empty() && conditions::is_ambiguous(list, &self.headers, self.query.as_deref())
    }

    /// True if an operation with these conditions serves the request, provided that no other
    /// operation takes precedence.
    pub(crate) fn meets(&self, list: &[Condition]) -> bool {
        self.may_meet(list) && !self.is_ambiguous(list)
    }
}

/// Returns header fields and query parameters that meet all conditions of `wanted` and that
/// `accepts` admits. `avoided` are conditions that the values should fail if possible. `None` if no
/// such values are found. The values in `sent` are part of the request already and are not
/// returned.
///
/// Each name has one value. A condition that `wanted` does not imply can always be failed: by
/// leaving out the name, or by extending the value differently.
pub(super) fn values(
    wanted: &[&Condition],
    sent: &Values,
    avoided: &[&[Condition]],
    accepts: impl Fn(&Seen) -> bool,
) -> Option<Values> {
    let mut tests: BTreeMap<(bool, &str), Vec<&Test>> = BTreeMap::new();
    for condition in wanted {
        let (key, test) = split(condition);
        tests.entry(key).or_default().push(test);
    }
    let avoided = Avoided::of(avoided);
    // For each name, collect the shortest value, and a value that also fails the other tests. Then
    // use the shortest combination that works.
    let mut combinations = vec![Values::default()];
    for ((header, name), tests) in tests {
        let there: Vec<&str> = if header { &sent.headers } else { &sent.query }
            .iter()
            .filter(|(other, _)| other == name)
            .map(|(_, value)| value.as_str())
            .collect();
        let careful = one(&tests, &there, &avoided.of_name(header, name))?;
        let short = one(&tests, &there, &[]);
        let short =
            short.filter(|short| *short != careful && combinations.len() < COMBINATIONS_MAX);
        let add = |found: &[String], combination: &mut Values| {
            let list = if header {
                &mut combination.headers
            } else {
                &mut combination.query
            };
            list.extend(found.iter().map(|value| (name.to_owned(), value.clone())));
        };
        let mut more = match &short {
            Some(_) => combinations.clone(),
            None => Vec::new(),
        };
        combinations.iter_mut().for_each(|one| add(&careful, one));
        if let Some(short) = &short {
            more.iter_mut().for_each(|one| add(short, one));
        }
        combinations.append(&mut more);
    }
    combinations.sort_by_key(Values::length);
    combinations.into_iter().find(|values| {
        let mut all = values.clone();
        all.headers.extend(sent.headers.iter().cloned());
        all.query.extend(sent.query.iter().cloned());
        accepts(&all.seen())
    })
}

/// Tests of conditions that the chosen values should not pass.
struct Avoided<'a> {
    /// Tests of header fields, by the name of the field.
    headers: BTreeMap<&'a str, Vec<&'a Test>>,
    /// Tests of query parameters, with the name of the parameter.
    query: Vec<(&'a str, &'a Test)>,
}

impl<'a> Avoided<'a> {
    fn of(lists: &[&'a [Condition]]) -> Self {
        let mut avoided = Self {
            headers: BTreeMap::new(),
            query: Vec::new(),
        };
        for condition in lists.iter().copied().flatten() {
            match condition {
                Condition::Header(name, test) => {
                    avoided.headers.entry(name).or_default().push(test);
                }
                Condition::Query(name, test) => avoided.query.push((name, test)),
            }
        }
        avoided
    }

    /// Tests that a field or parameter with this name may pass.
    fn of_name(&self, is_header: bool, name: &str) -> Vec<&'a Test> {
        if is_header {
            return self.headers.get(name).cloned().unwrap_or_default();
        }
        let query = self.query.iter().filter(|(other, _)| {
            let (a, b) = (name.as_bytes(), other.as_bytes());
            a == b || auth::is_read_as(a, b)
        });
        query.map(|(_, test)| *test).collect()
    }
}

/// Value of one header field or query parameter that passes all `tests` and, if possible, none of
/// `others`. Empty if the values in `there`, which the request has anyway, pass the tests. `None`
/// if no single value passes all tests. Repeated fields or parameters are not tried, because they
/// are refused as ambiguous if their outcomes differ.
fn one(tests: &[&Test], there: &[&str], others: &[&Test]) -> Option<Vec<String>> {
    let all = |value: &str| tests.iter().all(|test| passes(test, value));
    if !there.is_empty() {
        return there.iter().all(|value| all(value)).then(Vec::new);
    }
    let exact = tests.iter().find_map(|test| match test {
        Test::Exact(text) => Some(text.clone()),
        Test::Prefix(_) | Test::Present => None,
    });
    // The longest prefix implies the shorter ones.
    let prefixes = tests.iter().filter_map(|test| match test {
        Test::Prefix(text) => Some(text.as_str()),
        Test::Exact(_) | Test::Present => None,
    });
    let prefix = prefixes.max_by_key(|text| text.len()).unwrap_or_default();
    let value = exact.unwrap_or_else(|| goes_on(prefix, others));
    all(&value).then(|| vec![value])
}

/// Returns the smallest value that begins with `prefix` and passes none of `others`. Ignores tests
/// that every value with the prefix passes.
fn goes_on(prefix: &str, others: &[&Test]) -> String {
    let caught = |value: &str| {
        others.iter().any(|test| match test {
            Test::Exact(text) => text == value,
            Test::Prefix(text) => !prefix.starts_with(text.as_str()) && value.starts_with(text),
            Test::Present => false,
        })
    };
    let letters = || ('0'..='9').chain('a'..='z');
    let one = letters().map(|letter| format!("{prefix}{letter}"));
    let two = letters().flat_map(|a| letters().map(move |b| (a, b)));
    let two = two.map(|(a, b)| format!("{prefix}{a}{b}"));
    let bare = (!prefix.is_empty()).then(|| prefix.to_owned());
    bare.into_iter()
        .chain(one)
        .chain(two)
        .find(|value| !caught(value))
        .unwrap_or_else(|| prefix.to_owned())
}

fn split(condition: &Condition) -> ((bool, &str), &Test) {
    match condition {
        Condition::Header(name, test) => ((true, name), test),
        Condition::Query(name, test) => ((false, name), test),
    }
}

fn passes(test: &Test, value: &str) -> bool {
    match test {
        Test::Exact(text) => value == text,
        Test::Prefix(text) => value.starts_with(text.as_str()),
        Test::Present => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(test: Test) -> Condition {
        Condition::Header("v".into(), test)
    }

    #[test]
    fn value_passes_wanted_and_fails_avoided_tests() {
        let (exact, prefix) = (
            |t: &str| Test::Exact(t.into()),
            |t: &str| Test::Prefix(t.into()),
        );
        let cases = [
            (vec![exact("1")], vec![], Some(vec!["1"])),
            (vec![exact("1")], vec![exact("1")], None),
            (vec![exact("1")], vec![Test::Present], None),
            (vec![exact("12")], vec![prefix("1")], None),
            (vec![prefix("1")], vec![exact("1")], Some(vec!["10"])),
            (vec![prefix("1")], vec![prefix("10")], Some(vec!["1"])),
            (vec![prefix("1"), exact("12")], vec![], Some(vec!["12"])),
            (vec![exact("1"), exact("2")], vec![exact("3")], None),
            (vec![exact("2"), prefix("1")], vec![], None),
            (vec![prefix("1"), prefix("2")], vec![], None),
            (vec![prefix("1"), prefix("12")], vec![], Some(vec!["12"])),
            (vec![Test::Present], vec![exact("0")], Some(vec!["1"])),
            (vec![], vec![Test::Present], Some(vec![])),
        ];
        for (wanted, avoided, expected) in cases {
            let wanted: Vec<Condition> = wanted.into_iter().map(header).collect();
            let avoided: Vec<Vec<Condition>> =
                avoided.into_iter().map(|test| vec![header(test)]).collect();
            let avoided: Vec<&[Condition]> = avoided.iter().map(Vec::as_slice).collect();
            let wanted: Vec<&Condition> = wanted.iter().collect();
            let found = values(&wanted, &Values::default(), &avoided, |seen| {
                !avoided.iter().any(|list| seen.may_meet(list))
            });
            let found = found.map(|values| {
                let list = values.headers.into_iter();
                list.map(|(_, value)| value).collect::<Vec<_>>()
            });
            let expected = expected.map(|list| list.into_iter().map(str::to_owned).collect());
            assert_eq!(found, expected, "{wanted:?} {avoided:?}");
        }
    }
}
