//! Fields that gwd itself adds to its own responses, as far as they are known before a response.

use engine::accept::prefers_html;
use engine::{Decided, Verdict};
use http::header::CONTENT_TYPE;

use super::route_request::RouteRequest;

const PROBLEM: &str = "application/problem+json";
/// Value of `proxy-status` in the response to a refused request.
const DENIED: &str = "gwd; error=http_request_denied";
/// Beginnings of the names of fields that each response of gwd may have, depending on the
/// connection, the state of gwd, and the project.
const POSSIBLE: [&str; 7] = [
    "connection",
    "content-length",
    "date",
    "keep-alive",
    "store-outage",
    "transfer-encoding",
    "x-gateway-bundle",
];
/// Names of the fields that gwd adds to a page for browsers.
const OF_PAGES: [&str; 3] = ["content-security-policy", "vary", "x-content-type-options"];

/// Fields that gwd adds to its own response.
#[derive(Clone, Debug, Default)]
pub struct OwnFields {
    /// Fields that the response always has, with their values. `None`: gwc does not know the value.
    pub present: Vec<(&'static str, Option<String>)>,
    /// Beginnings of the names of further fields that the response may have. Fields that policies
    /// add are not included.
    pub possible: Vec<&'static str>,
}

impl OwnFields {
    /// Fields of a response by gwd without a decision of the engine, such as a response to an
    /// invalid request head.
    pub(super) fn without_decision() -> Self {
        let mut possible = POSSIBLE.to_vec();
        possible.extend(OF_PAGES);
        possible.push("x-request-id");
        Self {
            present: vec![("content-type", None), ("proxy-status", None)],
            possible,
        }
    }

    /// Fields of the response to a decision of the engine.
    pub(super) fn of(route_request: RouteRequest<'_>, decided: &Decided<'_>) -> Self {
        let mut fields = Self {
            present: vec![("x-request-id", None)],
            possible: POSSIBLE.to_vec(),
        };
        let Verdict::Reject(refusal) = &decided.verdict else {
            return fields;
        };
        let snapshot = route_request.oracle.snapshot();
        let request = &route_request.question.request.headers;
        let shape = snapshot.error_shape(decided.route.as_ref(), refusal.reject.code);
        let body = shape.and_then(|shape| shape.body.as_ref());
        let is_page = body.is_none() && prefers_html(request);
        // gwd changes the media type of a response to gRPC clients.
        let is_grpc = request
            .get(CONTENT_TYPE)
            .is_some_and(|value| value.as_bytes().starts_with(b"application/grpc"));
        let media_type = match body {
            _ if is_page || is_grpc => None,
            Some((_, media_type)) => media_type.to_str().ok().map(str::to_owned),
            None => Some(PROBLEM.to_owned()),
        };
        fields.present.push(("content-type", media_type));
        fields
            .present
            .push(("proxy-status", Some(DENIED.to_owned())));
        if is_page {
            fields.possible.extend(OF_PAGES);
        }
        if is_grpc {
            fields.possible.push("grpc-");
        }
        fields
    }
}
