//! Custom responses for the gateway's errors, by reason (`errors`).

use bytes::Bytes;
use http::{HeaderValue, StatusCode};
use policy::declared::{Scalar, Settings, Value};
use rustc_hash::FxHashMap;

/// Custom response for one error.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ErrorShape {
    /// Status. `None`: the default status of the error.
    pub status: Option<StatusCode>,
    /// Body and media type. `None`: the problem document.
    pub body: Option<(Bytes, HeaderValue)>,
}

/// Custom responses for errors of the gateway, by the reason of the error.
#[derive(Debug, Default)]
pub(crate) struct ErrorShapes(FxHashMap<Box<str>, ErrorShape>);

const TEXT: HeaderValue = HeaderValue::from_static("text/plain; charset=utf-8");

impl ErrorShapes {
    /// Reads the custom responses from settings with the paths `REASON/status`, `REASON/body` and
    /// `REASON/content_type`.
    pub(crate) fn of(written: &Settings) -> Self {
        let reasons = written.iter().filter_map(|one| one.path.first());
        let shape = |reason: &str| {
            let text = |key| written.text(&[reason, key]);
            let media_type = text("content_type").and_then(|text| HeaderValue::try_from(text).ok());
            let body = text("body").map(|body| Bytes::from(body.to_owned()));
            let status = match written.get(&[reason, "status"]) {
                Some(Value::One(Scalar::Number(status))) => u16::try_from(*status).ok(),
                Some(_) | None => None,
            };
            ErrorShape {
                status: status.and_then(|status| StatusCode::from_u16(status).ok()),
                body: body.map(|body| (body, media_type.unwrap_or(TEXT))),
            }
        };
        Self(
            reasons
                .map(|reason| (reason.as_str().into(), shape(reason)))
                .collect(),
        )
    }

    pub(crate) fn get(&self, reason: &str) -> Option<&ErrorShape> {
        self.0.get(reason)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn custom_responses_are_read_by_reason() {
        let text = |text: &str| Value::One(Scalar::Text(text.into()));
        let written = Settings::default()
            .with(&["no_route", "status"], Value::One(Scalar::Number(410)))
            .with(&["rate_limited", "body"], text("slow down\n"))
            .with(&["overload", "body"], text("{}"))
            .with(&["overload", "content_type"], text("application/json"));
        let shapes = ErrorShapes::of(&written);
        let body = |reason: &str| shapes.get(reason).unwrap().body.clone();
        assert_eq!(
            shapes.get("no_route").unwrap().status,
            Some(StatusCode::GONE)
        );
        assert_eq!(body("no_route"), None);
        assert_eq!(body("rate_limited"), Some(("slow down\n".into(), TEXT)));
        assert_eq!(body("overload").unwrap().1, "application/json");
        assert_eq!(shapes.get("ip_denied"), None);
    }
}
