//! Problem documents (RFC 9457): bodies of the gateway's own error responses.

use std::fmt::Write as _;

use bytes::Bytes;
use http::HeaderValue;
use policy::Reject;
use policy::invalid::Invalid;

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
    /// Problem that a rejection describes.
    pub(super) fn new(reject: &Reject) -> Self {
        Self {
            code: reject.code,
            status: reject.status,
            title: reject.title,
            detail: reject.detail,
        }
    }

    /// Body of a problem document (RFC 9457 §3) with the status that is sent, and with the findings
    /// of the validation in the member `errors`.
    pub(super) fn document(
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
    pub(super) fn detail(self) -> &'static str {
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
