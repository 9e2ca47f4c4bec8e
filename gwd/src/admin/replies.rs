//! Responses of the admin interface.

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderValue};
use http::{Response, StatusCode};
use http_body_util::{Either, Full};
use serde_json::{Value, json};

use super::tail::Lines;

/// Response: a complete body, or the lines of `/v1/tail`.
pub(super) type Reply = Response<Either<Full<Bytes>, Lines>>;

/// Name and version of this program, in all JSON documents.
pub(super) fn tool() -> Value {
    json!({"name": "gwd", "version": env!("CARGO_PKG_VERSION")})
}

/// Response with status 200 and a complete body.
pub(super) fn whole(body: impl Into<Bytes>) -> Reply {
    Response::new(Either::Left(Full::new(body.into())))
}

/// Response with lines that are sent as they are written.
pub(super) fn lines(lines: Lines) -> Reply {
    let mut reply = Response::new(Either::Right(lines));
    let kind = HeaderValue::from_static("application/x-ndjson");
    reply.headers_mut().insert(CONTENT_TYPE, kind);
    reply
}

/// Refusal of a request that is no health check, on one of the connections reserved for health
/// checks.
pub(super) fn full() -> Reply {
    problem(
        503,
        "too-many-connections",
        "all connections of the admin interface are in use; only health checks are answered",
    )
}

/// Refusal of an operator's request while gwd stops.
pub(super) fn stopping() -> Reply {
    problem(503, "stopping", "this gwd is shutting down")
}

/// Result of a health check, in the form of draft-inadarei-api-health-check.
pub(super) fn health(fine: bool, status: &str, checks: &Value) -> Reply {
    let body = json!({"status": status, "checks": checks}).to_string() + "\n";
    let mut reply = whole(body);
    if !fine {
        *reply.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
    }
    let kind = HeaderValue::from_static("application/health+json");
    reply.headers_mut().insert(CONTENT_TYPE, kind);
    reply
}

/// Response with a JSON document.
pub(super) fn json_reply(status: u16, body: &Value) -> Reply {
    let mut reply = whole(body.to_string() + "\n");
    *reply.status_mut() = StatusCode::from_u16(status).unwrap_or_default();
    let kind = HeaderValue::from_static("application/json");
    reply.headers_mut().insert(CONTENT_TYPE, kind);
    reply
}

/// Refusal of a request body.
pub(super) fn bad_request(why: &str) -> Reply {
    problem(400, "bad-request", why)
}

/// Error response; the status decides the exit code of the calling command.
pub(super) fn problem(status: u16, code: &str, message: &str) -> Reply {
    let exit = match status {
        400..=405 | 408 | 413 | 421 => 64,
        503 => 69,
        _ => 70,
    };
    failure(status, code, message, exit)
}

/// Error response as `error/v1`, the form that all commands of both programs use (command-line.md).
pub(super) fn failure(status: u16, code: &str, message: &str, exit: u8) -> Reply {
    json_reply(
        status,
        &json!({
            "schema": "error/v1",
            "result": "error",
            "tool": tool(),
            "environment": Value::Null,
            "error": {"code": code, "message": message, "exit": exit},
        }),
    )
}
