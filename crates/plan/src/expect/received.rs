//! Comparison of a response of a running gateway with the expectation of a test.
//!
//! A client sees the status, the fields, and the `code` of a problem document (RFC 9457). It does
//! not see the operation, the consumer, the policies, and the request that the upstream receives:
//! these expectations are counted as not compared.
//!
//! gwd marks the responses to refused requests with `proxy-status`, and removes this field from
//! responses of upstreams. The mark shows that a status is not that of the upstream.

use std::collections::BTreeSet;

use diag::Spanned;
use model::test_file::{Expected, TestCase};

use super::compare::differ;
use super::response::field;
use super::{Failure, Runner};
use crate::ask::Question;
use crate::route::{Decision, GivenCredentials, carry};

/// Prefix of the `code` in problem documents about failures of the upstream. A request with such a
/// code was forwarded.
const UPSTREAM: &str = "upstream_";
/// Errors in `proxy-status` with which gwd itself refuses a request. Other errors are failures of
/// the upstream.
const REFUSALS: [&str; 7] = [
    "connection_limit_reached",
    "http_request_denied",
    "http_request_error",
    "http_upgrade_failed",
    "proxy_internal_error",
    "proxy_internal_response",
    "proxy_loop_detected",
];
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

/// Origin of a response, as far as a client can determine it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Origin {
    /// The upstream responded or failed, or a policy of the gateway responded.
    Forwarded,
    /// The gateway refused the request.
    Rejected,
    /// No operation handles the request.
    NoRoute,
    /// The gateway refused the request, or no operation handles it. The response has no problem
    /// document.
    Refused,
}

impl Received {
    /// Error of gwd in `proxy-status`. `None`: gwd did not mark the response.
    fn proxy_error(&self) -> Option<&str> {
        let headers = self.headers.iter();
        let values = headers.filter(|(name, _)| name == "proxy-status");
        let mut members = values.flat_map(|(_, value)| value.split(','));
        members.find_map(|member| {
            let mut parts = member.split(';').map(str::trim);
            let is_own = parts.next() == Some("gwd");
            parts
                .find_map(|part| part.strip_prefix("error="))
                .filter(|_| is_own)
        })
    }

    /// True if the gateway itself certainly made the response.
    fn is_of_gateway(&self) -> bool {
        self.code.is_some() || self.proxy_error().is_some()
    }

    fn origin(&self) -> Origin {
        match (self.code.as_deref(), self.proxy_error()) {
            (Some(NO_ROUTE), _) => Origin::NoRoute,
            (Some(code), _) if !code.starts_with(UPSTREAM) => Origin::Rejected,
            (None, Some(error)) if REFUSALS.contains(&error) => Origin::Refused,
            _ => Origin::Forwarded,
        }
    }
}

/// Compares a response with an expectation, in the order of the expectations. `local` is the
/// decision of the project's sources about the request, if it is known.
#[must_use]
pub fn compare(
    received: &Received,
    local: Option<Decision>,
    expect: &[Spanned<Expected>],
) -> Comparison {
    let mut compared = Comparison::default();
    for one in expect {
        match difference(received, local, &one.value) {
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
    let seen = |one: &&Spanned<Expected>| difference(&nothing, None, &one.value).is_some();
    expect.iter().filter(seen).count()
}

/// Name, expected value and actual value of a property, if the values differ. The outer `None`
/// means that a client does not see the property, the inner `None` that the values are equal.
fn difference(
    received: &Received,
    local: Option<Decision>,
    expected: &Expected,
) -> Option<Option<(String, String, String)>> {
    let code = received.code.as_deref();
    match expected {
        Expected::Status(wanted) => {
            let actual = received.status.to_string();
            match differ("status", &wanted.to_string(), Some(&actual)) {
                Some(different) => Some(Some(different)),
                None if received.is_of_gateway() => Some(None),
                None if is_foreign(received, local) => {
                    let actual = format!(
                        "{wanted} from the upstream: the response has no `proxy-status` of gwd"
                    );
                    Some(Some(("status".to_owned(), wanted.to_string(), actual)))
                }
                None => None,
            }
        }
        // A response to HEAD has no body, and `errors` may set another body.
        Expected::Reason(_) if code.is_none() && received.is_of_gateway() => None,
        Expected::Reason(wanted) => Some(differ("reason", wanted, code)),
        Expected::Response(name, wanted) => {
            let headers = Some(received.headers.as_slice());
            let headers = headers.filter(|_| !is_foreign(received, local));
            Some(field("response", headers, name, wanted.as_deref()))
        }
        Expected::Decision(wanted) => {
            let origin = received.origin();
            let matches = match wanted.as_str() {
                "forward" => origin == Origin::Forwarded,
                "reject" | "none" if origin == Origin::Refused => return None,
                "reject" => origin == Origin::Rejected,
                "none" => origin == Origin::NoRoute,
                // A client cannot distinguish the gateway's own response from a response of an
                // upstream.
                _ => return None,
            };
            let actual = match (code, received.proxy_error()) {
                (Some(code), _) => format!("status {}, code `{code}`", received.status),
                (None, Some(error)) => format!(
                    "status {}, error `{error}` in `proxy-status`",
                    received.status
                ),
                (None, None) => format!(
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

/// True if a response is not that of the gateway: it has no mark, and by the project's sources, the
/// response to the request has one or comes from the upstream. A client cannot distinguish the
/// response of a policy from that of an upstream.
fn is_foreign(received: &Received, local: Option<Decision>) -> bool {
    let is_known = match local {
        Some(Decision::Forward | Decision::Reject | Decision::None) => true,
        Some(Decision::Respond | Decision::Depends) | None => false,
    };
    is_known && !received.is_of_gateway()
}

impl Runner<'_> {
    /// Security schemes of all APIs, by their names in the documents, otherwise in the bundle.
    #[must_use]
    pub fn schemes(&self) -> BTreeSet<&str> {
        let source = self.side.source.iter();
        let documents = source.flat_map(|source| source.apis.values());
        let names = documents.flat_map(|api| api.schemes.keys());
        let names: BTreeSet<&str> = names.map(String::as_str).collect();
        if !names.is_empty() {
            return names;
        }
        let apis = self.side.lowered.gateway.apis.iter();
        let schemes = apis.flat_map(|api| api.schemes.iter());
        schemes.map(|scheme| scheme.name.as_str()).collect()
    }

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
            (&refused, Expected::Status(401), 0),
            (&refused, Expected::Status(403), 1),
            (&forwarded, Expected::Status(201), 1),
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
            let local = Some(Decision::Reject);
            let compared = compare(received, local, &[Spanned { value, span }]);
            assert_eq!(compared.failures.len(), count, "{context}");
            assert_eq!(compared.unseen, 0, "{context}");
        }
        for value in [
            Expected::Operation(text("a")),
            Expected::Upstream(text("a")),
            Expected::AnySent,
            decision("respond"),
        ] {
            let compared = compare(&forwarded, None, &[Spanned { value, span }]);
            assert_eq!((compared.failures.len(), compared.unseen), (0, 1));
        }
    }

    #[test]
    fn mark_of_the_gateway_tells_its_status_apart() {
        let span = Span::start_of(FileId(0));
        let received = |proxy_status: Option<&str>| Received {
            status: 401,
            headers: proxy_status
                .map(|value| ("proxy-status".to_owned(), value.to_owned()))
                .into_iter()
                .collect(),
            code: None,
        };
        let text = |text: &str| text.to_owned();
        let (denied, failed) = ("gwd; error=http_request_denied", "gwd; error=dns_error");
        let status = Expected::Status(401);
        let reason = Expected::Reason(text("credential_missing"));
        let no_server = Expected::Response(text("server"), None);
        let decision = |name: &str| Expected::Decision(text(name));
        let (reject, forward) = (Decision::Reject, Decision::Forward);
        // Expectation, value of `proxy-status`, local decision, numbers of failures and of
        // expectations that are not compared.
        for (value, proxy_status, local, expected) in [
            (&status, Some(denied), Some(reject), (0, 0)),
            (
                &status,
                Some("gwd;error=http_request_denied, edge"),
                None,
                (0, 0),
            ),
            (&status, None, Some(reject), (1, 0)),
            (&status, None, Some(forward), (1, 0)),
            (
                &status,
                Some("edge; error=http_request_denied"),
                Some(reject),
                (1, 0),
            ),
            (&status, None, Some(Decision::Respond), (0, 1)),
            (&status, None, Some(Decision::Depends), (0, 1)),
            (&no_server, Some(denied), Some(reject), (0, 0)),
            (&no_server, None, Some(reject), (1, 0)),
            (&no_server, None, Some(Decision::Respond), (0, 0)),
            // A response to HEAD has no body.
            (&reason, Some(denied), Some(reject), (0, 1)),
            (&reason, None, Some(reject), (1, 0)),
            (&decision("forward"), Some(denied), Some(forward), (1, 0)),
            (&decision("forward"), Some(failed), Some(forward), (0, 0)),
            (&decision("reject"), Some(denied), Some(reject), (0, 1)),
            (&decision("reject"), Some(failed), Some(reject), (1, 0)),
        ] {
            let one = Spanned::new(value.clone(), span);
            let compared = compare(&received(proxy_status), local, &[one]);
            let counts = (compared.failures.len(), compared.unseen);
            assert_eq!(counts, expected, "{value:?} {proxy_status:?} {local:?}");
        }
    }
}
