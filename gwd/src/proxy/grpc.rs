//! gRPC status of responses by the gateway (semantics.md §13).
//!
//! A gRPC client reads only `grpc-status`. Responses by the gateway to gRPC requests are therefore
//! HTTP 200 without a body and with a gRPC status ("Trailers-Only"). If an upstream ends a call
//! without a status, the gateway adds one, which is never 0 (OK).

use std::fmt::Write as _;

use bytes::Bytes;
use http::header::{
    CACHE_CONTROL, CONTENT_LENGTH, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, TRAILER,
};
use http::{Method, StatusCode, Version};
use http_body::Frame;

use crate::proxy::outgoing::{OutgoingBody, OutgoingResponse};

static GRPC_STATUS: HeaderName = HeaderName::from_static("grpc-status");
static GRPC_MESSAGE: HeaderName = HeaderName::from_static("grpc-message");
static GRPC_TIMEOUT: HeaderName = HeaderName::from_static("grpc-timeout");
const NO_STORE: HeaderValue = HeaderValue::from_static("no-store");
const GRPC: HeaderValue = HeaderValue::from_static("application/grpc");
/// Value of `Trailer` in responses to HTTP/1.1 clients, to which only announced trailers are sent.
const TRAILERS: HeaderValue =
    HeaderValue::from_static("grpc-status, grpc-message, grpc-status-details-bin");

/// gRPC status codes that the gateway sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Code {
    Cancelled = 1,
    Unknown = 2,
    InvalidArgument = 3,
    DeadlineExceeded = 4,
    PermissionDenied = 7,
    ResourceExhausted = 8,
    FailedPrecondition = 9,
    Aborted = 10,
    Unimplemented = 12,
    Internal = 13,
    Unavailable = 14,
    Unauthenticated = 16,
}

/// True for a gRPC call: a POST with the `Content-Type` of gRPC ("gRPC over HTTP2", *Requests*).
/// Other methods are never gRPC calls, because caches would keep an HTTP 200 that
/// stands for a refusal.
pub(crate) fn is_call(method: &Method, headers: &HeaderMap) -> bool {
    *method == Method::POST && is_grpc(headers)
}

/// True if the `Content-Type` is that of gRPC. gRPC-Web is another protocol.
pub(crate) fn is_grpc(headers: &HeaderMap) -> bool {
    let Some(value) = headers.get(CONTENT_TYPE) else {
        return false;
    };
    let value = value.as_bytes();
    let Some((head, tail)) = value.split_at_checked(GRPC.len()) else {
        return false;
    };
    head.eq_ignore_ascii_case(GRPC.as_bytes()) && matches!(tail.first(), None | Some(b'+' | b';'))
}

/// Timeout of the call in `grpc-timeout` (at most 8 digits and a unit), in milliseconds, rounded
/// up. `None` if the field is absent or malformed.
pub(crate) fn timeout_ms(headers: &HeaderMap) -> Option<u64> {
    let value = headers.get(&GRPC_TIMEOUT)?.to_str().ok()?;
    let (digits, unit) = value.split_at_checked(value.len().checked_sub(1)?)?;
    let well_formed = (1..=8).contains(&digits.len()) && digits.bytes().all(|b| b.is_ascii_digit());
    let amount = digits.parse::<u64>().ok().filter(|_| well_formed)?;
    Some(match unit {
        "H" => amount * 3_600_000,
        "M" => amount * 60_000,
        "S" => amount * 1_000,
        "m" => amount,
        "u" => amount.div_ceil(1_000),
        "n" => amount.div_ceil(1_000_000),
        _ => return None,
    })
}

/// gRPC status code that the gateway sends instead of an HTTP status. The table in gRPC's
/// documentation does not apply: it is for clients that receive a response without gRPC status.
fn code(status: StatusCode, reason: &str) -> Code {
    match status.as_u16() {
        400 | 414 | 417 | 422 | 431 => Code::InvalidArgument,
        401 => Code::Unauthenticated,
        403 => Code::PermissionDenied,
        404 | 405 | 410 | 415 | 426 | 501 => Code::Unimplemented,
        409 => Code::Aborted,
        412 => Code::FailedPrecondition,
        413 | 429 => Code::ResourceExhausted,
        408 => Code::Cancelled,
        499 => Code::Cancelled,
        // The request was not sent: use a code that lets the client retry the call.
        504 if reason == "upstream_connect_timeout" => Code::Unavailable,
        504 => Code::DeadlineExceeded,
        502 | 503 => Code::Unavailable,
        500 | 508 => Code::Internal,
        _ => Code::Unknown,
    }
}

/// Converts the gateway's own error response to a gRPC response and returns its gRPC status code.
/// Leaves successful responses, gRPC responses and responses of upstreams unchanged. `None`: the
/// response has no gRPC status.
pub(crate) fn trailers_only(made: &mut OutgoingResponse, reason: &str) -> Option<u32> {
    if !matches!(made.body, OutgoingBody::Own(_)) {
        return None;
    }
    if is_grpc(&made.headers) || made.status.is_success() {
        return status_of(&made.headers);
    }
    let code = code(made.status, reason);
    let text = match (made.problem, reason) {
        (Some(problem), reason) => format!("{} ({reason})", problem.title),
        (None, _) => made.status.canonical_reason().unwrap_or("refused").into(),
    };
    made.status = StatusCode::OK;
    made.body = OutgoingBody::Own(Bytes::new());
    made.headers.remove(CONTENT_LENGTH);
    made.headers.insert(CONTENT_TYPE, GRPC);
    made.headers.insert(CACHE_CONTROL, NO_STORE);
    end_with(&mut made.headers, code, &text);
    Some(code as u32)
}

/// True if the upstream's response must still be completed by a gRPC status after its body.
pub(crate) fn owes_status(status: StatusCode, headers: &HeaderMap) -> bool {
    status == StatusCode::OK && is_grpc(headers) && !headers.contains_key(&GRPC_STATUS)
}

/// Announces the trailers of a call in a response to an HTTP/1 client.
pub(crate) fn announce(headers: &mut HeaderMap, version: Version) {
    if version < Version::HTTP_2 && !headers.contains_key(TRAILER) {
        headers.insert(TRAILER, TRAILERS);
    }
}

/// gRPC status code in a response head or trailers. A valid status is one field with a number of
/// digits, without sign and leading zeros. Clients read other values in different ways. `None`: no
/// valid status.
pub(crate) fn status_of(fields: &HeaderMap) -> Option<u32> {
    let mut values = fields.get_all(&GRPC_STATUS).iter();
    let (Some(value), None) = (values.next(), values.next()) else {
        return None;
    };
    let text = value.to_str().ok()?;
    let is_number = text.bytes().all(|byte| byte.is_ascii_digit());
    let is_valid = is_number && (text == "0" || !text.starts_with('0'));
    text.parse().ok().filter(|_| is_valid)
}

/// Adds a gRPC status to trailers without a valid status. Returns the status code.
pub(crate) fn complete(trailers: &mut HeaderMap) -> u32 {
    if let Some(status) = status_of(trailers) {
        return status;
    }
    end_with(
        trailers,
        Code::Internal,
        "the service ended the call without a status",
    );
    Code::Internal as u32
}

/// gRPC status code in the head of an upstream's response. Replaces an invalid status in a gRPC
/// response. `None`: the head has no valid status.
pub(crate) fn checked_head(status: StatusCode, headers: &mut HeaderMap) -> Option<u32> {
    let has_status = headers.contains_key(&GRPC_STATUS);
    if has_status && status == StatusCode::OK && is_grpc(headers) {
        return Some(complete(headers));
    }
    status_of(headers)
}

/// Final frame for a call that the upstream ended without a status.
pub(crate) fn ended_without() -> (Frame<Bytes>, u32) {
    let mut trailers = HeaderMap::with_capacity(2);
    let code = complete(&mut trailers);
    (Frame::trailers(trailers), code)
}

/// Final frame for a call whose upstream connection broke.
pub(crate) fn broken_off() -> (Frame<Bytes>, u32) {
    let mut trailers = HeaderMap::with_capacity(2);
    let text = "The service closed the connection (upstream_reset)";
    end_with(&mut trailers, Code::Unavailable, text);
    (Frame::trailers(trailers), Code::Unavailable as u32)
}

/// Final frame for a call if the upstream sent nothing for longer than the idle timeout.
pub(crate) fn fell_silent() -> (Frame<Bytes>, u32) {
    let mut trailers = HeaderMap::with_capacity(2);
    let text = "The service did not continue in time (upstream_timeout)";
    end_with(&mut trailers, Code::DeadlineExceeded, text);
    (Frame::trailers(trailers), Code::DeadlineExceeded as u32)
}

/// Final frame for a call whose deadline has passed.
pub(crate) fn too_late() -> (Frame<Bytes>, u32) {
    let mut trailers = HeaderMap::with_capacity(2);
    let text = "The call's deadline has passed";
    end_with(&mut trailers, Code::DeadlineExceeded, text);
    (Frame::trailers(trailers), Code::DeadlineExceeded as u32)
}

/// Final frame for a call with a credential that has ended.
pub(crate) fn unauthenticated() -> (Frame<Bytes>, u32) {
    let mut trailers = HeaderMap::with_capacity(2);
    let text = "The credential of the call has expired (credential_expired)";
    end_with(&mut trailers, Code::Unauthenticated, text);
    (Frame::trailers(trailers), Code::Unauthenticated as u32)
}

fn end_with(fields: &mut HeaderMap, code: Code, text: &str) {
    fields.insert(&GRPC_STATUS, HeaderValue::from(code as u16));
    if let Ok(text) = HeaderValue::try_from(percent_encoded(text)) {
        fields.insert(&GRPC_MESSAGE, text);
    }
}

/// Percent-encodes a gRPC message: `%`, and all bytes except printable ASCII.
fn percent_encoded(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if matches!(byte, b' '..=b'~') && byte != b'%' {
            out.push(char::from(byte));
        } else {
            let _infallible = write!(out, "%{byte:02X}");
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(name: &'static str, value: &str) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(name, HeaderValue::try_from(value).unwrap());
        headers
    }

    #[test]
    fn grpc_web_is_not_grpc() {
        let yes = [
            "application/grpc",
            "application/grpc+proto",
            "Application/gRPC;x=1",
        ];
        let no = [
            "application/grpc-web",
            "application/grpc-web+proto",
            "application/json",
            "a",
        ];
        assert!(
            yes.iter()
                .all(|value| is_grpc(&fields("content-type", value)))
        );
        assert!(
            !no.iter()
                .any(|value| is_grpc(&fields("content-type", value)))
        );
        assert!(!is_grpc(&HeaderMap::new()));
    }

    #[test]
    fn a_timeout_has_a_unit_and_eight_digits_at_most() {
        let parsed = |value| timeout_ms(&fields("grpc-timeout", value));
        let cases = [
            ("1H", 3_600_000),
            ("2M", 120_000),
            ("15S", 15_000),
            ("250m", 250),
            ("1u", 1),
            ("2000000n", 2),
            ("0n", 0),
            ("99999999H", 359_999_996_400_000),
        ];
        for (value, expected) in cases {
            assert_eq!(parsed(value), Some(expected), "{value}");
        }
        for value in [
            "",
            "S",
            "15",
            "123456789S",
            "-1S",
            "1.5S",
            "15 S",
            "1s",
            "+1S",
        ] {
            assert_eq!(parsed(value), None, "{value}");
        }
    }

    #[test]
    fn status_is_one_number_without_sign() {
        let of = |values: &[&'static str]| {
            let mut headers = fields("content-type", "application/grpc");
            for value in values {
                headers.append(&GRPC_STATUS, HeaderValue::from_static(value));
            }
            headers
        };
        for (values, code) in [
            (&["0"][..], 0),
            (&["16"], 16),
            (&["+1"], 13),
            (&["-1"], 13),
            (&["00"], 13),
            (&["07"], 13),
            (&[""], 13),
            (&["x"], 13),
            (&["4294967296"], 13),
            (&["0", "7"], 13),
            (&["0", "0"], 13),
        ] {
            let mut trailers = of(values);
            assert_eq!(complete(&mut trailers), code, "{values:?}");
            assert_eq!(status_of(&trailers), Some(code), "{values:?}");
            let mut head = of(values);
            assert_eq!(checked_head(StatusCode::OK, &mut head), Some(code));
            assert_eq!(status_of(&head), Some(code), "{values:?}");
        }
        assert_eq!(checked_head(StatusCode::OK, &mut of(&[])), None);
        // Clients do not read the status of a response that is no gRPC response.
        let mut other = of(&["+1"]);
        assert_eq!(checked_head(StatusCode::BAD_GATEWAY, &mut other), None);
        assert_eq!(other[&GRPC_STATUS], "+1");
    }

    #[test]
    fn messages_are_percent_encoded() {
        assert_eq!(percent_encoded("50% \u{e9}\n~"), "50%25 %C3%A9%0A~");
    }
}
