//! Responses to input that is not a valid request. The connection ends after such a response.

use ::http1::{request, write};
use policy::Reject;

use crate::proxy::outgoing::{OutgoingBody, problem};

/// Response if the request head does not arrive in time.
pub(super) static HEADER_TIMEOUT: Reject = Reject::new(
    408,
    "header_timeout",
    "The head of the request did not arrive in time",
);
static HEAD_INVALID: Reject = Reject::new(
    400,
    "head_invalid",
    "The received bytes are not the head of an HTTP/1 request",
);
static FRAMING_INVALID: Reject = Reject::new(
    400,
    "framing_invalid",
    "The end of the request is ambiguous",
);
static HEAD_TOO_LARGE: Reject = Reject::new(
    431,
    "headers_too_large",
    "The head of the request is too large",
);
static TARGET_TOO_LONG: Reject =
    Reject::new(414, "target_too_long", "The request target is too long");

/// Response to a request head that the parser rejected.
pub(super) fn reject(error: request::Error) -> &'static Reject {
    match error {
        request::Error::Invalid => &HEAD_INVALID,
        request::Error::Framing => &FRAMING_INVALID,
        request::Error::TooLarge => &HEAD_TOO_LARGE,
        request::Error::TargetTooLong => &TARGET_TOO_LONG,
    }
}

/// Serializes the complete response. There is no exchange and thus no access record; the response
/// is only counted.
#[cold]
pub(super) fn response(reject: &Reject) -> Vec<u8> {
    let status = reject.status;
    let made = problem(reject, "http_request_error", None);
    let OutgoingBody::Own(body) = made.body else {
        unreachable!("the body of a problem response is not streamed")
    };
    let phrase = made.status.canonical_reason().unwrap_or_default();
    let mut out = format!("HTTP/1.1 {status} {phrase}\r\n").into_bytes();
    for (name, value) in &made.headers {
        write::field(name.as_str().as_bytes(), value.as_bytes(), &mut out);
    }
    write::content_length(body.len() as u64, &mut out);
    out.extend_from_slice(b"connection: close\r\n\r\n");
    out.extend_from_slice(&body);
    out
}
