//! Comparison of a decision with the expectation of a test.

use bundle::ir::Gateway;
use diag::Spanned;
use diag::suggest::one_of;
use model::test_file::Expected;
use model::wildcard::star;
use policy::invalid::{MEDIA_TYPE, Part};

use super::Failure;
use super::response::{self, Compared, field};
use crate::route::{Answer, Outcome};

/// Text for a property that the decision does not have.
const NONE: &str = "(none)";

/// Differences between a decision and an expectation, in the order of the expectations. Also returns
/// the number of expectations about fields that are not known before the response.
pub(super) fn failures(
    answer: &Answer,
    expect: &[Spanned<Expected>],
    gateway: &Gateway,
) -> (Vec<Failure>, usize) {
    let mut failures = Vec::new();
    let mut unseen = 0;
    for one in expect {
        let compared = match &one.value {
            Expected::Response(name, wanted) => response::compare(answer, name, wanted.as_deref()),
            other => difference(answer, other).map_or(Compared::Equal, Compared::Different),
        };
        match compared {
            Compared::Equal => {}
            Compared::Unknown => unseen += 1,
            Compared::Different((what, expected, actual)) => failures.push(Failure {
                what,
                expected,
                actual,
                help: help(answer, &one.value, gateway),
                span: one.span,
            }),
        }
    }
    (failures, unseen)
}

/// Name, expected value and actual value of a property, if the values differ. Fields of the
/// gateway's own response are compared by [`response::compare`].
fn difference(answer: &Answer, expected: &Expected) -> Option<(String, String, String)> {
    let operation = answer.operation.as_ref();
    let upstream = answer.upstream.as_ref();
    match expected {
        Expected::Decision(wanted) => differ("decision", wanted, Some(answer.decision.name())),
        Expected::Status(wanted) => {
            let actual = answer.status.map(|status| status.to_string());
            differ("status", &wanted.to_string(), actual.as_deref())
        }
        Expected::Reason(wanted) => differ("reason", wanted, answer.reason),
        Expected::Operation(wanted) => {
            differ("operation", wanted, operation.map(|it| it.key.as_str()))
        }
        Expected::Mount(wanted) => differ("mount", wanted, operation.map(|it| it.mount.as_str())),
        Expected::Consumer(wanted) => differ("consumer", wanted, answer.consumer.as_deref()),
        Expected::Policies(wanted) => {
            let ran = ran(answer);
            let same = ran.len() == wanted.len()
                && ran
                    .iter()
                    .zip(wanted)
                    .all(|(ran, wanted)| star(wanted, ran));
            let list = |names: &[&str]| format!("[{}]", names.join(", "));
            let wanted: Vec<&str> = wanted.iter().map(String::as_str).collect();
            (!same).then(|| ("policies".to_owned(), list(&wanted), list(&ran)))
        }
        Expected::Upstream(wanted) => {
            differ("upstream", wanted, upstream.map(|it| it.name.as_str()))
        }
        Expected::Url(wanted) => {
            let targets = upstream.map(|it| it.targets.as_slice()).unwrap_or_default();
            if targets.iter().any(|target| star(wanted, &target.url)) {
                return None;
            }
            let first = targets.first().map(|target| target.url.as_str());
            differ("sent.url", wanted, first)
        }
        Expected::Sent(name, wanted) => {
            let head = upstream.and_then(|it| it.request.as_ref());
            let headers = head.map(|head| head.headers.as_slice());
            field("sent", headers, name, wanted.as_deref())
        }
        Expected::Response(..) => None,
        Expected::AnySent => {
            let is_sent = upstream.is_some_and(|it| it.request.is_some());
            (!is_sent).then(|| message("sent"))
        }
        Expected::AnyResponse => {
            let responds = answer.response.is_some();
            (!responds).then(|| message("response"))
        }
        Expected::ValidBody => {
            let invalid = answer.invalid.as_ref()?;
            let is_about_body = invalid.reject.code == MEDIA_TYPE.code
                || invalid.findings.iter().any(|one| one.part == Part::Body);
            is_about_body.then(|| {
                let actual = answer.why.clone().unwrap_or_default();
                ("body".to_owned(), "(valid)".to_owned(), actual)
            })
        }
    }
}

/// Name, expected value and actual value of a text property, if the values differ. `*` in `wanted`
/// stands for any text.
pub(super) fn differ(
    what: &str,
    wanted: &str,
    actual: Option<&str>,
) -> Option<(String, String, String)> {
    let same = actual.is_some_and(|actual| star(wanted, actual));
    (!same).then(|| {
        let actual = actual.unwrap_or(NONE).to_owned();
        (what.to_owned(), wanted.to_owned(), actual)
    })
}

/// Difference for an expected message (request or response) that the decision does not have.
fn message(what: &str) -> (String, String, String) {
    let text = |text: &str| text.to_owned();
    (text(what), text("(any message)"), text("(no message)"))
}

/// Names of the policies that ran, in order. Excludes the checks of the listener and of
/// credentials.
pub(super) fn ran(answer: &Answer) -> Vec<&str> {
    let policies = answer.chain.iter().filter(|step| {
        let is_policy = step.kind != "listener" && step.policy != "authenticate";
        is_policy && !matches!(step.outcome, Outcome::NotRun | Outcome::LeftOut)
    });
    policies.map(|step| step.policy.as_str()).collect()
}

/// Help for a failed expectation: a known name that is similar to the expected one, or the reason
/// of the decision.
fn help(answer: &Answer, expected: &Expected, gateway: &Gateway) -> Option<String> {
    let unknown = |name: &str, kind: &str, known: Vec<&str>| {
        let missing = !name.contains('*') && !known.contains(&name);
        missing.then(|| {
            let name = name.escape_debug();
            format!(
                "there is no {kind} `{name}`: {}",
                one_of(known.into_iter(), 8)
            )
        })
    };
    let advice = match expected {
        Expected::Operation(name) => {
            let operations = gateway.apis.iter().flat_map(|api| api.operations.iter());
            unknown(
                name,
                "operation",
                operations.map(|one| one.key.as_str()).collect(),
            )
        }
        Expected::Upstream(name) => {
            let known = gateway.shared.upstreams.iter();
            unknown(
                name,
                "upstream",
                known.map(|one| one.name.as_str()).collect(),
            )
        }
        Expected::Mount(_)
        | Expected::Decision(_)
        | Expected::Status(_)
        | Expected::Reason(_)
        | Expected::Consumer(_)
        | Expected::Policies(_)
        | Expected::Url(_)
        | Expected::Sent(..)
        | Expected::Response(..)
        | Expected::AnySent
        | Expected::AnyResponse
        | Expected::ValidBody => None,
    };
    advice.or_else(|| answer.why.clone())
}
