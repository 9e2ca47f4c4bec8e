//! Decisions of two versions about one request, and their comparison.

use engine::{Decided, Snapshot, Verdict};
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use policy::{Cx, Reject, RequestHead};

use crate::telemetry::shadow::{ShadowResult, ShadowSample};

/// Maximum number of changed parts of a request that a sample names: 8.
const CHANGED_MAX: usize = 8;

/// Decision of a version about a request. Has no `Debug` output, because it contains credentials.
pub(crate) struct Outcome {
    /// Key of the operation, and the template of its path. `None`: the request has no operation.
    operation: Option<(String, String)>,
    decision: Decision,
}

/// Handling of a request by a version.
enum Decision {
    Forward(Box<Forwarded>),
    /// Answer of the gateway with this status.
    Reply(u16),
    /// Refusal with this status and reason.
    Refuse(u16, &'static str),
    /// The version has no listener at the address of the connection.
    NotListening,
    /// The decision needs an answer that the gateway did not request.
    Unknown,
}

/// Request that a version forwards.
struct Forwarded {
    upstream: String,
    method: Method,
    path: String,
    query: Option<String>,
    /// `Host` that the version sends instead of that of the upstream's settings.
    host: Option<HeaderValue>,
    /// Name of the consumer, which the gateway sends in a field.
    consumer: Option<String>,
    headers: HeaderMap,
}

impl Outcome {
    /// Outcome of a request that the edge refuses.
    pub(crate) fn refused(reject: &Reject) -> Self {
        Self::without_operation(Decision::Refuse(reject.status, reject.code))
    }

    /// Outcome of a request at an address at which the version does not listen.
    pub(crate) const fn not_listening() -> Self {
        Self::without_operation(Decision::NotListening)
    }

    /// Outcome of a request for a path of the gateway itself, which is not decided.
    pub(crate) const fn unknown() -> Self {
        Self::without_operation(Decision::Unknown)
    }

    const fn without_operation(decision: Decision) -> Self {
        Self {
            operation: None,
            decision,
        }
    }

    /// Outcome of a decision. `head`: the request after the chain.
    pub(crate) fn of(
        snapshot: &Snapshot,
        head: &RequestHead,
        decided: &Decided<'_>,
        cx: &Cx<'_>,
    ) -> Self {
        let operation = decided.route.as_ref().map(|route| {
            let template = format!("{}{}", route.mount.base_path, route.operation.template);
            (route.operation.key.clone(), template)
        });
        let decision = match &decided.verdict {
            Verdict::Forward => {
                let upstream = decided.upstream(snapshot, cx);
                let upstream = upstream.map(|at| snapshot.upstreams()[at as usize].name.as_str());
                let upstream = upstream.unwrap_or("no upstream");
                Decision::Forward(Box::new(Forwarded::of(upstream, head, cx)))
            }
            Verdict::Reply(reply) => Decision::Reply(reply.status.as_u16()),
            Verdict::Reject(refusal) => Decision::Refuse(refusal.reject.status, refusal.reason),
            Verdict::Ask(_) => Decision::Unknown,
        };
        Self {
            operation,
            decision,
        }
    }

    /// Compares this outcome, that of the base, with the candidate's. `has_unknown_steps`: steps of
    /// the candidate's chain did not run, each of which could refuse the request.
    pub(super) fn compare(&self, candidate: &Self, has_unknown_steps: bool) -> ShadowResult {
        match (&self.decision, &candidate.decision) {
            (_, Decision::Unknown) if candidate.operation.is_none() => ShadowResult::Undetermined,
            _ if self.key() != candidate.key() => ShadowResult::Operation,
            (Decision::Unknown, _) | (_, Decision::Unknown) => ShadowResult::Undetermined,
            (Decision::Forward(base), Decision::Forward(other)) => {
                if base.upstream != other.upstream {
                    ShadowResult::Upstream
                } else if base.changed(other).is_empty() {
                    ShadowResult::Equal
                } else {
                    ShadowResult::Request
                }
            }
            (base, other) if base.is_same(other) => ShadowResult::Equal,
            // The candidate refuses or answers the request, whatever the unknown steps decide.
            (Decision::Forward(_), _) => ShadowResult::Decision,
            _ if has_unknown_steps => ShadowResult::Undetermined,
            _ => ShadowResult::Decision,
        }
    }

    /// Sample of a difference, without values of the request. `None`: `result` is no difference.
    pub(super) fn sample(
        &self,
        candidate: &Self,
        method: &Method,
        result: ShadowResult,
    ) -> Option<ShadowSample> {
        if !result.is_difference() {
            return None;
        }
        let changed = match (&self.decision, &candidate.decision) {
            (Decision::Forward(base), Decision::Forward(other)) => base.changed(other),
            _ => Vec::new(),
        };
        let operation = self.operation.as_ref().or(candidate.operation.as_ref());
        Some(ShadowSample {
            kind: result,
            method: known_method(method),
            path: operation.map(|(_, template)| template.clone()),
            base: self.text(),
            candidate: candidate.text(),
            changed,
        })
    }

    /// Key of the operation.
    fn key(&self) -> Option<&str> {
        self.operation.as_ref().map(|(key, _)| key.as_str())
    }

    /// Text for people: operation and decision.
    fn text(&self) -> String {
        let operation = self.key().unwrap_or("no operation");
        let decision = match &self.decision {
            Decision::Forward(forwarded) => format!("forwarded to {}", forwarded.upstream),
            Decision::Reply(status) => format!("answered with {status}"),
            Decision::Refuse(status, reason) => format!("refused with {status} {reason}"),
            Decision::NotListening => "no listener at this address".to_owned(),
            Decision::Unknown => "not known".to_owned(),
        };
        format!("{operation}: {decision}")
    }
}

impl Decision {
    /// True if both are the same answer of the gateway.
    fn is_same(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Reply(one), Self::Reply(other)) => one == other,
            (Self::Refuse(status, reason), Self::Refuse(other, another)) => {
                status == other && reason == another
            }
            _ => false,
        }
    }
}

impl Forwarded {
    fn of(upstream: &str, head: &RequestHead, cx: &Cx<'_>) -> Self {
        let rewritten = cx.rewritten.as_ref();
        let path = rewritten.and_then(|it| it.path.clone());
        let path = path.unwrap_or_else(|| head.path().get(cx.stripped..).unwrap_or("").to_owned());
        let query = rewritten.and_then(|it| it.query.clone());
        let method = rewritten.and_then(|it| it.method.clone());
        let consumer = cx.principal.as_ref().and_then(|caller| caller.consumer);
        Self {
            upstream: upstream.to_owned(),
            method: method.unwrap_or_else(|| head.method.clone()),
            path,
            query: query.or_else(|| head.query().map(str::to_owned)),
            host: rewritten.and_then(|it| it.host.clone()),
            consumer: consumer.map(ToString::to_string),
            headers: head.headers.clone(),
        }
    }

    /// Names of the parts that differ, at most [`CHANGED_MAX`].
    fn changed(&self, other: &Self) -> Vec<String> {
        let parts = [
            ("method", self.method != other.method),
            ("path", self.path != other.path),
            ("query", self.query != other.query),
            ("host", self.host != other.host),
            ("consumer", self.consumer != other.consumer),
        ];
        let parts = parts.into_iter().filter(|(_, differs)| *differs);
        let mut changed: Vec<String> = parts.map(|(name, _)| name.to_owned()).collect();
        let names = self.headers.keys().chain(other.headers.keys());
        let differs = |name: &&HeaderName| {
            let [one, another] = [&self.headers, &other.headers].map(|map| map.get_all(*name));
            !one.iter().eq(another.iter())
        };
        let mut fields: Vec<&str> = names.filter(differs).map(HeaderName::as_str).collect();
        fields.sort_unstable();
        fields.dedup();
        changed.extend(fields.into_iter().map(|name| format!("field {name}")));
        changed.truncate(CHANGED_MAX);
        changed
    }
}

/// Name of a standard method; `other` for any other method, which only the client knows.
fn known_method(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::HEAD => "HEAD",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::PATCH => "PATCH",
        Method::DELETE => "DELETE",
        Method::OPTIONS => "OPTIONS",
        Method::TRACE => "TRACE",
        _ => "other",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcome(key: &str, decision: Decision) -> Outcome {
        let operation = (!key.is_empty()).then(|| (key.to_owned(), format!("/{key}")));
        Outcome {
            operation,
            decision,
        }
    }

    fn forward(upstream: &str, fields: &[(&'static str, &'static str)]) -> Decision {
        let headers = fields.iter().map(|(name, value)| {
            let name = HeaderName::from_static(name);
            (name, HeaderValue::from_static(value))
        });
        Decision::Forward(Box::new(Forwarded {
            upstream: upstream.to_owned(),
            method: Method::GET,
            path: "/a".to_owned(),
            query: Some("q=secret".to_owned()),
            host: None,
            consumer: None,
            headers: headers.collect(),
        }))
    }

    /// Result for two decisions about the same operation.
    fn compare(base: Decision, candidate: Decision, has_unknown_steps: bool) -> ShadowResult {
        outcome("a", base).compare(&outcome("a", candidate), has_unknown_steps)
    }

    #[test]
    fn each_kind_of_difference_is_found() {
        let refuse = || Decision::Refuse(401, "no_credential");
        let plain = || forward("u", &[]);
        let expired = Decision::Refuse(401, "credential_expired");
        let results = [
            (plain(), plain(), ShadowResult::Equal),
            (refuse(), refuse(), ShadowResult::Equal),
            (
                Decision::Reply(204),
                Decision::Reply(204),
                ShadowResult::Equal,
            ),
            (plain(), refuse(), ShadowResult::Decision),
            (refuse(), plain(), ShadowResult::Decision),
            (refuse(), expired, ShadowResult::Decision),
            (refuse(), Decision::Reply(401), ShadowResult::Decision),
            (plain(), Decision::NotListening, ShadowResult::Decision),
            (plain(), forward("v", &[]), ShadowResult::Upstream),
            (plain(), forward("u", &[("x", "1")]), ShadowResult::Request),
            (plain(), Decision::Unknown, ShadowResult::Undetermined),
        ];
        for (number, (base, candidate, expected)) in results.into_iter().enumerate() {
            assert_eq!(compare(base, candidate, false), expected, "{number}");
        }
        let [one, another] = ["a", "b"].map(|key| outcome(key, plain()));
        assert_eq!(one.compare(&another, false), ShadowResult::Operation);
        let none = outcome("", Decision::Refuse(404, "no_route"));
        assert_eq!(one.compare(&none, false), ShadowResult::Operation);
        // A path of the gateway itself.
        let result = none.compare(&Outcome::unknown(), true);
        assert_eq!(result, ShadowResult::Undetermined);
    }

    #[test]
    fn unknown_steps_can_only_refuse() {
        let limited = || Decision::Refuse(429, "rate_limited");
        let (plain, more) = (|| forward("u", &[]), || forward("u", &[("x", "1")]));
        // The candidate's limit may refuse the request, too.
        let result = compare(limited(), plain(), true);
        assert_eq!(result, ShadowResult::Undetermined);
        // Another step of the candidate refuses it, whatever the limit decides.
        assert_eq!(compare(plain(), limited(), true), ShadowResult::Decision);
        assert_eq!(compare(plain(), plain(), true), ShadowResult::Equal);
        assert_eq!(compare(plain(), more(), true), ShadowResult::Request);
    }

    #[test]
    fn samples_name_changed_fields_without_values() {
        let base = outcome("a", forward("u", &[("x-a", "s3cret"), ("x-b", "same")]));
        let candidate = outcome("a", forward("u", &[("x-b", "same"), ("x-c", "t0ken")]));
        let result = base.compare(&candidate, false);
        let sample = base.sample(&candidate, &Method::GET, result).unwrap();
        assert_eq!(sample.changed, ["field x-a", "field x-c"]);
        assert_eq!(sample.base, "a: forwarded to u");
        assert_eq!(sample.path.as_deref(), Some("/a"));
        let shown = format!("{sample:?}");
        for secret in ["s3cret", "t0ken", "q=secret"] {
            assert!(!shown.contains(secret), "{shown}");
        }
        let none = base.sample(&base, &Method::GET, ShadowResult::Equal);
        assert_eq!(none, None);
    }

    #[test]
    fn other_parts_of_a_request_are_compared() {
        let with = |change: fn(&mut Forwarded)| {
            let mut decision = forward("u", &[]);
            if let Decision::Forward(forwarded) = &mut decision {
                change(forwarded);
            }
            let (base, candidate) = (outcome("a", forward("u", &[])), outcome("a", decision));
            let result = base.compare(&candidate, false);
            base.sample(&candidate, &Method::GET, result)
                .unwrap()
                .changed
        };
        assert_eq!(with(|it| it.method = Method::PUT), ["method"]);
        assert_eq!(with(|it| it.path.push('b')), ["path"]);
        assert_eq!(with(|it| it.query = None), ["query"]);
        assert_eq!(with(|it| it.consumer = Some("c".to_owned())), ["consumer"]);
        let other_host = with(|it| it.host = Some(HeaderValue::from_static("h")));
        assert_eq!(other_host, ["host"]);
    }

    #[test]
    fn unknown_methods_are_not_shown() {
        assert_eq!(known_method(&Method::PATCH), "PATCH");
        let method = Method::from_bytes(b"S3CRET").unwrap();
        assert_eq!(known_method(&method), "other");
    }
}
