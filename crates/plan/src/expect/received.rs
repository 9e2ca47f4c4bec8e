//! Comparison of a response of a running gateway with the expectation of a test.
//!
//! A client sees the status, the fields, and the `code` of a problem document (RFC 9457). It does
//! not see the operation, the consumer, the policies, and the request that the upstream receives:
//! these expectations are counted as not compared.

use diag::Spanned;
use model::test_file::{Expected, TestCase};

use super::compare::{differ, field};
use super::{Failure, Runner};
use crate::ask::Question;
use crate::route::{GivenCredentials, carry};

/// Prefix of the `code` in problem documents about failures of the upstream. A request with such a
/// code was forwarded.
const UPSTREAM: &str = "upstream_";
/// `code` of the problem document for a request that no operation handles.
const NO_ROUTE: &str = "no_route";

/// Response of a running gateway.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Received {
    /// Status code.
    pub status: u16,
    /// Fields, with names in lower case.
    pub headers: Vec<(String, String)>,
    /// `code` of the gateway's problem document. `None`: another body.
    pub code: Option<String>,
}

/// Differences of a response from an expectation.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Comparison {
    /// Differences. Empty: all compared properties match.
    pub failures: Vec<Failure>,
    /// Number of expectations that are not compared, because a client cannot see the property.
    pub unseen: usize,
}

/// Reason why the request of a test is not sent, such as a property that a client cannot set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unsendable(pub String);

/// Compares a response with an expectation, in the order of the expectations.
#[must_use]
pub fn compare(received: &Received, expect: &[Spanned<Expected>]) -> Comparison {
    let mut compared = Comparison::default();
    for one in expect {
        match difference(received, &one.value) {
            None => compared.unseen += 1,
            Some(None) => {}
            Some(Some((what, expected, actual))) => compared.failures.push(Failure {
                what,
                expected,
                actual,
                help: None,
                span: one.span,
            }),
        }
    }
    compared
}

/// Number of expectations that a client can see.
#[must_use]
pub fn visible(expect: &[Spanned<Expected>]) -> usize {
    let nothing = Received::default();
    let seen = |one: &&Spanned<Expected>| difference(&nothing, &one.value).is_some();
    expect.iter().filter(seen).count()
}

/// Name, expected value and actual value of a property, if the values differ. The outer `None`
/// means that a client does not see the property, the inner `None` that the values are equal.
fn difference(
    received: &Received,
    expected: &Expected,
) -> Option<Option<(String, String, String)>> {
    let code = received.code.as_deref();
    match expected {
        Expected::Status(wanted) => {
            let actual = received.status.to_string();
            Some(differ("status", &wanted.to_string(), Some(&actual)))
        }
        Expected::Reason(wanted) => Some(differ("reason", wanted, code)),
        Expected::Response(name, wanted) => {
            let headers = Some(received.headers.as_slice());
            Some(field("response", headers, name, wanted.as_deref()))
        }
        Expected::Decision(wanted) => {
            let own = code.filter(|code| !code.starts_with(UPSTREAM));
            let matches = match wanted.as_str() {
                "forward" => own.is_none(),
                "reject" => own.is_some_and(|code| code != NO_ROUTE),
                "none" => own == Some(NO_ROUTE),
                // A client cannot distinguish the gateway's own response from a response of an
                // upstream.
                _ => return None,
            };
            let actual = match code {
                Some(code) => format!("status {}, code `{code}`", received.status),
                None => format!(
                    "status {}, without a problem document of the gateway",
                    received.status
                ),
            };
            Some((!matches).then(|| ("decision".to_owned(), wanted.clone(), actual)))
        }
        Expected::Operation(_)
        | Expected::Mount(_)
        | Expected::Consumer(_)
        | Expected::Policies(_)
        | Expected::Upstream(_)
        | Expected::Url(_)
        | Expected::Sent(..)
        | Expected::AnySent
        | Expected::AnyResponse
        | Expected::ValidBody => None,
    }
}

impl Runner<'_> {
    /// Builds the request of a test for a running gateway. `given` contains the texts of real
    /// credentials. The request of a test without a body has none.
    ///
    /// # Errors
    /// Returns the reason if the request cannot be sent.
    pub fn sendable(
        &self,
        case: &TestCase,
        line: &str,
        given: &GivenCredentials,
    ) -> Result<http::Request<Vec<u8>>, Unsendable> {
        let set = [
            ("peer", case.peer.is_some()),
            ("at", case.at.is_some()),
            ("assume", !case.assume.is_empty()),
            ("listener", case.listener.is_some()),
        ];
        if let Some((key, _)) = set.into_iter().find(|(_, is_set)| *is_set) {
            return Err(Unsendable(format!("a client cannot choose `{key}`")));
        }
        let missing = case
            .credentials
            .iter()
            .find(|(scheme, valid)| *valid && given.get(&scheme.value).is_none());
        if let Some((scheme, _)) = missing {
            return Err(Unsendable(format!(
                "no credential was given for `{}`: write `--credential {}=env:NAME`",
                scheme.value, scheme.value
            )));
        }
        if visible(&case.expect) == 0 {
            let why = "a client cannot see any property that the test expects";
            return Err(Unsendable(why.to_owned()));
        }
        let oracle = &self.plain;
        let question = self.question(case, line, oracle).map_err(Unsendable)?;
        let request = self.route_request(oracle, &question, &[]);
        let carried = carry(request, &super::credentials(case), given);
        let carried = carried.map_err(|why| Unsendable(why.to_string()))?;
        let Question {
            request,
            certificates,
            body,
            ..
        } = carried.unwrap_or(question);
        match certificates.is_empty() {
            true => {
                let body = body.unwrap_or_default();
                Ok(http::Request::from_parts(request, body))
            }
            false => Err(Unsendable(
                "the request needs a client certificate".to_owned(),
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use diag::{FileId, Span};

    use super::*;

    fn response(status: u16, code: Option<&str>) -> Received {
        Received {
            status,
            headers: vec![("retry-after".to_owned(), "7".to_owned())],
            code: code.map(str::to_owned),
        }
    }

    #[test]
    fn properties_that_clients_see_are_compared() {
        let text = |text: &str| text.to_owned();
        let forwarded = response(201, None);
        let refused = response(401, Some("credential_missing"));
        let failed = response(502, Some("upstream_reset"));
        let missing = response(404, Some("no_route"));
        let decision = |name: &str| Expected::Decision(text(name));
        let cases = [
            (&forwarded, Expected::Status(201), 0),
            (&forwarded, Expected::Status(200), 1),
            (&forwarded, decision("forward"), 0),
            (&forwarded, decision("reject"), 1),
            (&failed, decision("forward"), 0),
            (&failed, decision("reject"), 1),
            (&refused, decision("forward"), 1),
            (&refused, decision("reject"), 0),
            (&refused, decision("none"), 1),
            (&missing, decision("none"), 0),
            (&missing, decision("reject"), 1),
            (&refused, Expected::Reason(text("credential_*")), 0),
            (&forwarded, Expected::Reason(text("credential_*")), 1),
            (
                &refused,
                Expected::Response(text("retry-after"), Some(text("7"))),
                0,
            ),
            (&refused, Expected::Response(text("retry-after"), None), 1),
        ];
        let span = Span::start_of(FileId(0));
        for (received, value, count) in cases {
            let context = format!("{received:?} {value:?}");
            let compared = compare(received, &[Spanned { value, span }]);
            assert_eq!(compared.failures.len(), count, "{context}");
            assert_eq!(compared.unseen, 0, "{context}");
        }
        for value in [
            Expected::Operation(text("a")),
            Expected::Upstream(text("a")),
            Expected::AnySent,
            decision("respond"),
        ] {
            let compared = compare(&forwarded, &[Spanned { value, span }]);
            assert_eq!((compared.failures.len(), compared.unseen), (0, 1));
        }
    }
}
