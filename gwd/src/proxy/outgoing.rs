//! Responses to clients before they are sent, including those to the gateway's own errors.

use bytes::Bytes;
use engine::ErrorShape;
use http::StatusCode;
use http::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, WWW_AUTHENTICATE};
use policy::Reject;
use policy::invalid::Invalid;

use crate::proxy::html;
use crate::proxy::problem::Problem;
use crate::upstream::send::Answered;
use crate::upstream::upgrade::Switched;

const PROXY_STATUS: HeaderName = HeaderName::from_static("proxy-status");
const PROBLEM: HeaderValue = HeaderValue::from_static("application/problem+json");

/// Response to a client before it is sent.
pub(crate) struct OutgoingResponse {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: OutgoingBody,
    /// Problem that the body describes. `None` for any other body.
    pub(crate) problem: Option<Problem>,
    /// True if the connection has to end after the response.
    pub(crate) close: bool,
}

/// Body of a response to a client.
pub(crate) enum OutgoingBody {
    Own(Bytes),
    Upstream(Answered),
    /// No body: the connection or stream becomes a tunnel after the head.
    Tunnel(Box<Switched>),
}

/// Builds a problem response (RFC 9457). The body consists of constants, except for the request id.
pub(crate) fn problem(
    reject: &Reject,
    proxy_error: &str,
    request_id: Option<&HeaderValue>,
) -> OutgoingResponse {
    let status = reject.status;
    let problem = Problem::new(reject);
    let mut headers = HeaderMap::with_capacity(8);
    headers.insert(CONTENT_TYPE, PROBLEM);
    if let Ok(value) = HeaderValue::try_from(format!("gwd; error={proxy_error}")) {
        headers.insert(PROXY_STATUS, value);
    }
    OutgoingResponse {
        status: StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR),
        headers,
        body: OutgoingBody::Own(problem.document(status, request_id, None)),
        problem: Some(problem),
        close: false,
    }
}

/// Adds the findings of the validation to the response that refuses the request.
#[cold]
pub(crate) fn lists(made: &mut OutgoingResponse, invalid: &Invalid, request_id: &HeaderValue) {
    let is_refused = |problem: &Problem| problem.code == invalid.reject.code;
    if let Some(problem) = made.problem.filter(is_refused)
        && !invalid.findings.is_empty()
    {
        let status = made.status.as_u16();
        let body = problem.document(status, Some(request_id), Some(invalid));
        made.body = OutgoingBody::Own(body);
    }
}

/// Formats a problem as the project configures it for the problem's reason. Without a configured
/// body, a client that prefers HTML gets a page.
#[cold]
pub(crate) fn as_wanted(
    made: &mut OutgoingResponse,
    shape: Option<&ErrorShape>,
    request: &HeaderMap,
    request_id: &HeaderValue,
) {
    let Some(problem) = made.problem else {
        return;
    };
    if let Some(shape) = shape {
        shaped(made, problem, shape, request_id);
    }
    if shape.is_some_and(|shape| shape.body.is_some()) || !engine::accept::prefers_html(request) {
        return;
    }
    let id = request_id.to_str().unwrap_or_default();
    let page = html::page(
        made.status.as_u16(),
        problem.code,
        problem.title,
        problem.detail(),
        id,
    );
    made.body = OutgoingBody::Own(Bytes::from(page));
    html::fields(&mut made.headers);
}

/// Replaces the status or the body of a problem, or both.
pub(super) fn shaped(
    made: &mut OutgoingResponse,
    problem: Problem,
    shape: &ErrorShape,
    request_id: &HeaderValue,
) {
    if let Some(status) = shape.status {
        made.status = status;
        // RFC 9110 §11.6.1: `WWW-Authenticate` belongs to status 401.
        if status != StatusCode::UNAUTHORIZED {
            made.headers.remove(WWW_AUTHENTICATE);
        }
        made.body = OutgoingBody::Own(problem.document(status.as_u16(), Some(request_id), None));
    }
    if let Some((body, media_type)) = &shape.body {
        made.body = OutgoingBody::Own(body.clone());
        made.headers.insert(CONTENT_TYPE, media_type.clone());
    }
}
