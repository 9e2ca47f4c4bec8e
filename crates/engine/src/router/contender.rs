//! All routes whose template matches a request, each with the reason why it is not selected.
//! Explains the result of [`super::find`]; not used for serving.

use http::Method;
use policy::RequestHead;

use super::host::{HostTable, MountEntry};
use super::order::{self, Step};
use super::trie::{Candidate, Seen};
use super::{Found, MountedCandidate, precedes};

/// Route whose template matches the path of a request.
#[derive(Debug)]
pub struct Contender {
    /// The mount, as an index into the snapshot's mounts.
    pub mount: u32,
    /// The operation, as an index into the API's operations.
    pub operation: u32,
    /// Reason why the route is not selected. `None` for the selected route.
    pub reject_reason: Option<RejectReason>,
}

/// Reason why a route whose template matches is not selected for a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RejectReason {
    /// The route has another method.
    Method,
    /// A condition of the route does not hold. Contains the index of the first condition that
    /// fails.
    Condition(usize),
    /// The selected route takes precedence. Contains the criterion that decides.
    LowerPrecedence(Step),
    /// An `internal` operation takes precedence. No route is selected.
    Internal,
}

/// Routes whose template matches. First the selected route, then routes that match with a lower
/// precedence, then routes whose method or conditions do not match.
#[must_use]
pub fn contenders(hosts: &HostTable, head: &RequestHead) -> Vec<Contender> {
    let Some(table) = hosts.mounts(&head.host) else {
        return Vec::new();
    };
    let mut all: Vec<(&MountEntry, Candidate<'_>, Option<RejectReason>)> = Vec::new();
    for (entry, below) in table.below(head.path()) {
        entry.router.matching(below, &mut |seen| {
            all.push((entry, candidate(seen, head), unfit(seen, head)));
        });
    }
    all.sort_by(|(a_entry, a, a_reason), (b_entry, b, b_reason)| {
        let order = order::compare_owners((&b_entry.base_segments, b), (&a_entry.base_segments, a));
        a_reason.is_some().cmp(&b_reason.is_some()).then(order)
    });
    let found = super::find(hosts, head);
    if found == Found::Nothing {
        for (.., reject_reason) in &mut all {
            *reject_reason = reject_reason.or(Some(RejectReason::Internal));
        }
    }
    let owner = all
        .first()
        .filter(|(_, _, reject_reason)| reject_reason.is_none());
    let lower_precedence = |entry: &MountEntry, one: &Candidate<'_>| {
        let (owners_entry, owner, _) = owner?;
        let owner = (&owners_entry.base_segments[..], owner);
        let (step, _) = order::owners_differ(owner, (&entry.base_segments, one))?;
        Some(RejectReason::LowerPrecedence(step))
    };
    let matching = all.iter().map(|(entry, one, reject_reason)| Contender {
        mount: entry.mount,
        operation: one.index,
        reject_reason: reject_reason.or_else(|| lower_precedence(entry, one)),
    });
    // If no operation describes the request, `API#undeclared` or `API#unmatched` may be selected.
    let rest = match (owner, found) {
        (
            None,
            Found::Operation {
                mount, operation, ..
            },
        ) => Some(Contender {
            mount,
            operation,
            reject_reason: None,
        }),
        _ => None,
    };
    rest.into_iter().chain(matching).collect()
}

/// Operations that a request would select if it had the path `path`, one for each group: mount and
/// index of the operation. `group` returns the group for a mount and an operation. If no operation
/// of a group matches the request, an operation whose conditions fail is selected.
#[must_use]
pub fn selected_by_group(
    hosts: &HostTable,
    path: &str,
    head: &RequestHead,
    group: &dyn Fn(u32, u32) -> u32,
) -> Vec<(u32, u32)> {
    let Some(table) = hosts.mounts(&head.host) else {
        return Vec::new();
    };
    let mut best: Vec<(u32, bool, MountedCandidate<'_>)> = Vec::new();
    for (entry, below) in table.below(path) {
        entry.router.matching(below, &mut |seen| {
            let matches = match unfit(seen, head) {
                None => true,
                Some(RejectReason::Condition(_)) => false,
                Some(_) => return,
            };
            let (own, one) = (
                group(entry.mount, seen.index),
                (entry, candidate(seen, head)),
            );
            match best.iter_mut().find(|(group, ..)| *group == own) {
                None => best.push((own, matches, one)),
                Some(known) if (matches, true) > (known.1, precedes(&known.2, &one)) => {
                    *known = (own, matches, one);
                }
                Some(_) => {}
            }
        });
    }
    let selected = best.iter();
    selected
        .map(|(.., (entry, one))| (entry.mount, one.index))
        .collect()
}

fn candidate<'t>(seen: &Seen<'t>, head: &RequestHead) -> Candidate<'t> {
    Candidate {
        index: seen.index,
        operation: seen.operation,
        priority: seen.operation.priority,
        twin: seen.twin,
        explicit: *seen.method == head.method,
        conditional: !seen.operation.conditions.is_empty(),
    }
}

/// Reason why the request does not match the route. `None` if the request matches.
fn unfit(seen: &Seen<'_>, head: &RequestHead) -> Option<RejectReason> {
    let is_head_for_get = head.method == Method::HEAD && *seen.method == Method::GET;
    if *seen.method != head.method && !is_head_for_get {
        return Some(RejectReason::Method);
    }
    let mut conditions = seen.operation.conditions.iter();
    let fails = |condition| {
        let one = std::slice::from_ref(condition);
        !policy::conditions::may_hold(one, &head.headers, head.query())
    };
    conditions.position(fails).map(RejectReason::Condition)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use bundle::ir::{Condition, Hidden, Operation, Owns, Set, Template, Test, TrailingSlash};
    use http::HeaderMap;

    use super::*;
    use crate::router::{ApiRouter, Found, find};

    /// Parses an operation: `METHOD /template` and options. `!N` is a priority, `?NAME=VALUE` a
    /// condition, `~` allows any final slash, `*` makes the template a prefix. Ignores `-`, which
    /// marks an internal operation.
    fn operation(text: &str) -> Operation {
        let mut words = text.split_whitespace();
        let (method, path) = (words.next().unwrap(), words.next().unwrap());
        let mut operation = Operation {
            key: text.to_owned(),
            method: method.to_owned(),
            template: Template::parse(path).unwrap(),
            conditions: Vec::new(),
            priority: 0,
            treatment: 0,
            trailing_slash: TrailingSlash::Strict,
            owns: Owns::Described,
        };
        for word in words {
            match word.split_at(1) {
                ("!", priority) => operation.priority = priority.parse().unwrap(),
                ("?", condition) => {
                    let (name, value) = condition.split_once('=').unwrap_or((condition, ""));
                    let test = match value {
                        "" => Test::Present,
                        value => Test::Exact(value.to_owned()),
                    };
                    operation
                        .conditions
                        .push(Condition::Query(name.to_owned(), test));
                }
                ("-", _) => {}
                ("~", _) => operation.trailing_slash = TrailingSlash::Ignore,
                _ => operation.template = operation.template.into_prefix(),
            }
        }
        operation.conditions.sort();
        operation
    }

    /// Contenders of a request with their reasons, the selected one first. `apis` lists operations
    /// by base path.
    fn contenders_of(
        apis: &[(&str, &[&str])],
        request: &str,
    ) -> Vec<(String, Option<RejectReason>)> {
        let mut hosts = HostTable::default();
        let mut keys: Vec<Vec<String>> = Vec::new();
        for (mount, (base, operations)) in (0..).zip(apis) {
            let (internal, served): (Vec<&str>, Vec<&str>) =
                operations.iter().partition(|text| text.ends_with(" -"));
            let operations = served.into_iter().map(operation).collect();
            let hidden = internal.into_iter().map(|text| {
                let one = operation(text);
                Hidden {
                    method: one.method,
                    template: one.template,
                    conditions: one.conditions,
                    priority: one.priority,
                    upstreams: Vec::new(),
                }
            });
            let hidden: Vec<Hidden> = hidden.collect();
            let router = ApiRouter::build(Set::new(operations).unwrap(), &hidden).unwrap();
            let router = Arc::new(router);
            let named = router.operations().iter().map(|one| one.key.clone());
            keys.push(named.collect());
            hosts.add(None, base, mount, &router);
        }
        let (method, target) = request.split_once(' ').unwrap();
        let head = RequestHead {
            is_ambiguous: false,
            method: method.parse().unwrap(),
            target: target.parse().unwrap(),
            host: "h".into(),
            headers: HeaderMap::new(),
        };
        let all = contenders(&hosts, &head);
        // The first contender must be the owner that `find` returns.
        let owner = match find(&hosts, &head) {
            Found::Operation {
                mount, operation, ..
            } => Some((mount, operation)),
            _ => None,
        };
        let first = all.first().filter(|one| one.reject_reason.is_none());
        assert_eq!(
            first.map(|one| (one.mount, one.operation)),
            owner,
            "{request}"
        );
        let key = |one: &Contender| keys[one.mount as usize][one.operation as usize].clone();
        all.iter()
            .map(|one| (key(one), one.reject_reason))
            .collect()
    }

    #[test]
    fn contender_names_the_criterion_that_decides() {
        use RejectReason::{Condition, LowerPrecedence, Method};
        use Step::{Conditions, Prefix, Priority, Segment, Slash};
        type Case<'a> = (
            &'a [&'a str],
            &'a str,
            &'a [(&'a str, Option<RejectReason>)],
        );
        let cases: &[Case<'_>] = &[
            (
                &["GET /a/{id}", "GET /a/latest", "POST /a/latest"],
                "GET /a/latest",
                &[
                    ("GET /a/latest", None),
                    ("GET /a/{id}", Some(LowerPrecedence(Segment(1)))),
                    ("POST /a/latest", Some(Method)),
                ],
            ),
            (
                &["GET /a/{id} !5", "GET /a/latest"],
                "GET /a/latest",
                &[
                    ("GET /a/{id} !5", None),
                    ("GET /a/latest", Some(LowerPrecedence(Priority))),
                ],
            ),
            (
                &["GET /a ?x=1", "GET /a ?x", "GET /a ?y", "GET /a"],
                "GET /a?x=1",
                &[
                    ("GET /a ?x=1", None),
                    ("GET /a ?x", Some(LowerPrecedence(Conditions))),
                    ("GET /a", Some(LowerPrecedence(Conditions))),
                    ("GET /a ?y", Some(Condition(0))),
                ],
            ),
            (
                &["GET /a ~", "GET /a/", "GET /{x}/"],
                "GET /a/",
                &[
                    ("GET /a/", None),
                    ("GET /a ~", Some(LowerPrecedence(Slash))),
                    ("GET /{x}/", Some(LowerPrecedence(Segment(0)))),
                ],
            ),
            (
                &["GET /a", "HEAD /a", "HEAD /{x}"],
                "HEAD /a",
                &[
                    ("HEAD /a", None),
                    ("GET /a", Some(LowerPrecedence(Step::Method))),
                    ("HEAD /{x}", Some(LowerPrecedence(Segment(0)))),
                ],
            ),
            (
                &["GET /a *", "GET /a/{b}", "GET /{a}/b"],
                "GET /a/b",
                &[
                    ("GET /a/{b}", None),
                    ("GET /a *", Some(LowerPrecedence(Prefix(1)))),
                    ("GET /{a}/b", Some(LowerPrecedence(Segment(0)))),
                ],
            ),
            (
                &["GET /{a}.json", "GET /{a}", "GET /{a}.{b}"],
                "GET /x.json",
                &[
                    ("GET /{a}.json", None),
                    ("GET /{a}.{b}", Some(LowerPrecedence(Segment(0)))),
                    ("GET /{a}", Some(LowerPrecedence(Segment(0)))),
                ],
            ),
            (&["GET /a"], "GET /b", &[]),
            (
                &["GET /a/{x}", "GET /{x}/b", "GET /a/b -"],
                "HEAD /a/b",
                &[
                    ("GET /a/{x}", Some(RejectReason::Internal)),
                    ("GET /{x}/b", Some(RejectReason::Internal)),
                ],
            ),
            (
                &["GET /a/{x} !1", "GET /a/b -"],
                "GET /a/b",
                &[("GET /a/{x} !1", None)],
            ),
            (
                &[
                    "GET /a/{x}",
                    "GET /a/b ?y -",
                    "GET /a/{y} -",
                    "GET /a/{z} -",
                ],
                "GET /a/b",
                &[("GET /a/{x}", None)],
            ),
            (
                &["GET /a/{x}", "GET /a/b ?y -"],
                "GET /a/b?y=1",
                &[("GET /a/{x}", Some(RejectReason::Internal))],
            ),
            (
                &["POST /a ?x=2"],
                "POST /a?x=1",
                &[("POST /a ?x=2", Some(Condition(0)))],
            ),
        ];
        for (operations, request, expected) in cases {
            let expected: Vec<(String, Option<RejectReason>)> = expected
                .iter()
                .map(|(key, reject_reason)| ((*key).to_owned(), *reject_reason))
                .collect();
            assert_eq!(
                contenders_of(&[("", operations)], request),
                expected,
                "{request}"
            );
        }
    }

    #[test]
    fn a_base_path_counts_as_the_first_segments() {
        let apis: &[(&str, &[&str])] = &[("", &["GET /{a}/b"]), ("/x", &["GET /{b}"])];
        let expected = [
            ("GET /{b}".to_owned(), None),
            (
                "GET /{a}/b".to_owned(),
                Some(RejectReason::LowerPrecedence(Step::Segment(0))),
            ),
        ];
        assert_eq!(contenders_of(apis, "GET /x/b"), expected);
    }
}
