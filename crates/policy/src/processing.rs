//! Conversation with an external processor (`kind: ext_proc`): its settings, the processor's
//! answers, and the changes that the processor may make to heads.

pub mod wire;

use std::sync::Arc;

use http::{HeaderMap, HeaderName, HeaderValue};

use crate::managed::{OF_CONNECTION, alike, is_hop_lookalike, is_removed};
use crate::reply::Reply;

/// Conversation with an external processor about one exchange: the parts of the exchange that the
/// processor receives, and the limits.
#[derive(Debug, PartialEq, Eq)]
pub struct Processing {
    /// Name of the policy.
    pub policy: Arc<str>,
    /// Name of the upstream of the processor.
    pub upstream: Arc<str>,
    /// Maximum time for the answer to each message, in milliseconds.
    pub timeout_ms: u64,
    /// True if messages pass unchanged while the processor is unavailable (`on_outage: open`).
    pub is_open: bool,
    /// Fields of the request that the processor receives. `None`: all fields.
    pub request_headers: Option<Box<[HeaderName]>>,
    /// True if the processor receives the body of the request.
    pub has_request_body: bool,
    /// True if the processor receives the head of the upstream's response.
    pub has_response: bool,
    /// True if the processor receives the body of the upstream's response, after its head.
    pub has_response_body: bool,
    /// Maximum length of a body that the processor receives, in bytes.
    pub body_bytes_max: u64,
}

// === impl Processing ===

impl Processing {
    /// True if the processor receives a body.
    #[must_use]
    pub fn has_body(&self) -> bool {
        self.has_request_body || self.has_response_body
    }
}

/// Answer of an external processor about a request.
#[derive(Clone, Debug)]
pub enum Processed {
    /// The request continues with these changes of its head.
    Continue(Box<[Change]>),
    /// The client gets this response.
    Reply(Reply),
    /// The body of the request is longer than the processor may receive.
    TooLarge,
}

/// Change of one field of a head.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// The field is removed.
    Remove(HeaderName),
    /// The field gets this value.
    Set(HeaderName, HeaderValue, How),
}

/// Effect of a new value on the existing values of the field
/// (`envoy.config.core.v3.HeaderValueOption.HeaderAppendAction`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum How {
    /// The value is added as another line.
    Append,
    /// The value is added if the field is absent.
    AddIfAbsent,
    /// The value replaces all existing ones.
    Replace,
    /// The value replaces all existing ones. If the field is absent, it stays absent.
    ReplaceIfPresent,
}

/// Fields that describe the content of a message and become invalid with another content.
const OF_CONTENT: [&str; 6] = [
    "content-digest",
    "content-length",
    "content-md5",
    "digest",
    "etag",
    "repr-digest",
];

// === impl Change ===

impl Change {
    /// Name of the changed field.
    #[must_use]
    pub fn name(&self) -> &HeaderName {
        match self {
            Self::Remove(name) | Self::Set(name, _, _) => name,
        }
    }
}

/// Makes changes to the fields of a head, in their order.
pub fn apply(changes: &[Change], headers: &mut HeaderMap) {
    for change in changes {
        match change {
            Change::Remove(name) => drop(headers.remove(name)),
            Change::Set(name, value, How::Append) => drop(headers.append(name, value.clone())),
            Change::Set(name, value, How::Replace) => drop(headers.insert(name, value.clone())),
            Change::Set(name, value, How::AddIfAbsent) => {
                if !headers.contains_key(name) {
                    headers.insert(name, value.clone());
                }
            }
            Change::Set(name, value, How::ReplaceIfPresent) => {
                if headers.contains_key(name) {
                    headers.insert(name, value.clone());
                }
            }
        }
    }
}

/// True if a processor may change this field of a request. It may not change fields of the
/// connection, of framing and of routing (`Host`), or fields that only the gateway sets. Nor may it
/// change the fields with the caller's identity (`identity`), or fields whose names some servers
/// treat as equal to one of these.
#[must_use]
pub fn may_change_request(name: &HeaderName, identity: &[HeaderName]) -> bool {
    let text = name.as_str();
    let is_identity = |one: &HeaderName| alike(one.as_str().as_bytes(), text.as_bytes());
    text != "content-length"
        && !is_hop_lookalike(text)
        && !is_removed(text)
        && !identity.iter().any(is_identity)
}

/// True if a processor may change this field of a response: it neither frames the message nor
/// belongs to the connection.
#[must_use]
pub fn may_change_response(name: &HeaderName) -> bool {
    let name = name.as_str();
    name != "content-length" && !OF_CONNECTION.contains(&name) && !is_hop_lookalike(name)
}

/// Changes that remove the fields of the previous content, for a message with another content.
pub fn of_new_content() -> impl Iterator<Item = Change> {
    let names = OF_CONTENT.into_iter().map(HeaderName::from_static);
    names.map(Change::Remove)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &'static str) -> HeaderName {
        HeaderName::from_static(text)
    }

    #[test]
    fn changes_follow_their_append_actions() {
        let value = HeaderValue::from_static;
        for (how, of_present, of_absent) in [
            (How::Append, &["old", "new"][..], &["new"][..]),
            (How::AddIfAbsent, &["old"], &["new"]),
            (How::Replace, &["new"], &["new"]),
            (How::ReplaceIfPresent, &["new"], &[]),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert("x-present", value("old"));
            headers.insert("x-gone", value("old"));
            let changes = [
                Change::Remove(name("x-gone")),
                Change::Set(name("x-present"), value("new"), how),
                Change::Set(name("x-absent"), value("new"), how),
            ];
            apply(&changes, &mut headers);
            let values = |name| headers.get_all(name).iter().collect::<Vec<_>>();
            assert_eq!(values("x-present"), of_present, "{how:?}");
            assert_eq!(values("x-absent"), of_absent, "{how:?}");
            assert!(values("x-gone").is_empty());
        }
    }

    #[test]
    fn fields_of_connection_and_identity_are_protected() {
        let identity = [name("x-user")];
        for text in [
            "connection",
            "content-length",
            "content_length",
            "expect",
            "forwarded",
            "host",
            "keep-alive",
            "te",
            "trailer",
            "transfer-encoding",
            "transfer_encoding",
            "upgrade",
            "x-consumer-id",
            "x-forwarded-for",
            "x-gateway-attempt",
            "x-real-ip",
            "x-request-id",
            "x-user",
            "x_user",
        ] {
            assert!(!may_change_request(&name(text), &identity), "{text}");
        }
        for text in ["authorization", "content-type", "x-users", "x-waf-score"] {
            assert!(may_change_request(&name(text), &identity), "{text}");
        }
        for text in [
            "connection",
            "content-length",
            "keep-alive",
            "proxy-connection",
            "te",
            "trailer",
            "transfer-encoding",
            "transfer_encoding",
            "upgrade",
        ] {
            assert!(!may_change_response(&name(text)), "{text}");
        }
        assert!(may_change_response(&name("set-cookie")));
    }
}
