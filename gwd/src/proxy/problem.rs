//! Problem documents (RFC 9457): bodies of the gateway's own error responses.

use std::fmt::Write as _;

use bytes::Bytes;
use engine::ErrorShape;
use http::StatusCode;
use http::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, WWW_AUTHENTICATE};
use policy::Reject;
use policy::invalid::Invalid;

use crate::proxy::html;
use crate::proxy::respond::{OutgoingBody, OutgoingResponse};

const PROXY_STATUS: HeaderName = HeaderName::from_static("proxy-status");
const PROBLEM: HeaderValue = HeaderValue::from_static("application/problem+json");

/// Kind of a problem response: code, status and title.
#[derive(Clone, Copy)]
pub(crate) struct Problem {
    /// Machine-readable reason of the problem.
    pub(crate) code: &'static str,
    /// Default status of the reason, before a configured status replaces it.
    status: u16,
    /// Short description for people.
    pub(crate) title: &'static str,
    /// Advice to the client. `None`: the advice for the code or the status.
    detail: Option<&'static str>,
}

impl Problem {
    /// Body of a problem document (RFC 9457 §3) with the status that is sent, and with the findings
    /// of the validation in the member `errors`.
    fn document(
        self,
        sent: u16,
        request_id: Option<&HeaderValue>,
        invalid: Option<&Invalid>,
    ) -> Bytes {
        let Self { code, title, .. } = self;
        let detail = self.detail();
        let id = request_id
            .and_then(|id| id.to_str().ok())
            .unwrap_or_default();
        let mut body = String::with_capacity(320);
        let _infallible = write!(
            body,
            "{{\"type\":\"urn:gwd:problem:{code}\",\"title\":\"{title}\",\"status\":{sent},\"detail\":\"{detail}\",\"code\":\"{code}\""
        );
        if !id.is_empty() {
            // No escaping is needed: ids consist of letters, digits, `.`, `_` and `-`.
            let _infallible = write!(
                body,
                ",\"instance\":\"urn:request-id:{id}\",\"request_id\":\"{id}\""
            );
        }
        if let Some(invalid) = invalid {
            let _infallible = write!(body, ",\"errors\":{invalid}");
        }
        body.push_str("}\n");
        Bytes::from(body)
    }

    /// Advice to the client: of the refusal or the code if there is one, otherwise of the status.
    fn detail(self) -> &'static str {
        if let Some(detail) = self.detail {
            return detail;
        }
        match self.code {
            "response_invalid" | "response_too_large" | "upstream_protocol_error" => {
                return "The service behind the gateway responded, but its response cannot be passed on.";
            }
            "insufficient_scope" => return "The credential has too few scopes for the operation.",
            _ => {}
        }
        match self.status {
            400 => "The request is not valid; it was not passed on.",
            401 => "A valid credential is required; WWW-Authenticate names its kind.",
            403 => "The request is not permitted.",
            404 => "No operation matches the host, path and conditions of the request.",
            405 => "The path is served with other methods; Allow lists them.",
            408 => "The request did not arrive in time.",
            410 => "The operation has ended; its documentation names the replacement.",
            413 => "The body is larger than the limit of this operation.",
            414 => "The request target is longer than the limit of the gateway.",
            426 => "The path serves another WebSocket version; Sec-WebSocket-Version names it.",
            501 => "The operation does not serve WebSocket connections.",
            417 => "Only the expectation 100-continue is supported.",
            429 => "Wait for the time in Retry-After, then try again.",
            431 => "The header fields exceed the gateway's limits on number or size.",
            502 => "The service behind the gateway could not be reached or closed the connection.",
            503 => "The service is not available now; try again later.",
            504 => "The service behind the gateway did not answer in time.",
            508 => "The request has passed this gateway too often already.",
            _ => "The gateway could not serve the request.",
        }
    }
}

/// Builds a problem response (RFC 9457). The body consists of constants, except for the request id.
pub(crate) fn problem(
    reject: &Reject,
    proxy_error: &str,
    request_id: Option<&HeaderValue>,
) -> OutgoingResponse {
    let status = reject.status;
    let problem = Problem {
        code: reject.code,
        status,
        title: reject.title,
        detail: reject.detail,
    };
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
