//! Request head for a target: the client's fields unchanged, followed by the gateway's own fields.
//!
//! Most clients are the first hop and send none of the fields that the gateway sets. In this case
//! the head is neither copied nor changed, so that a retry or another target can use it again. The
//! gateway's fields are written after the client's fields.

use std::borrow::Cow;

use http::header::{CONNECTION, FORWARDED, HOST, HeaderMap, HeaderName, HeaderValue, VIA};
use http::uri::PathAndQuery;
use http::{Method, Version};
use policy::RequestHead;

use super::this_hop::{self, ThisHop};
use crate::edge::{
    CLIENT_CERT, CLIENT_CERT_CHAIN, TRACEPARENT, X_FORWARDED_CLIENT_CERT, X_REQUEST_ID,
};

/// Length of a `traceparent` of version 00, in bytes.
pub const TRACEPARENT_BYTES: usize = 55;

static X_CONSUMER_NAME: HeaderName = HeaderName::from_static("x-consumer-name");

static CLOSE: HeaderValue = HeaderValue::from_static("close");

static VIA_1_0: HeaderValue = HeaderValue::from_static("1.0 gwd");
static VIA_1_1: HeaderValue = HeaderValue::from_static("1.1 gwd");
static VIA_2: HeaderValue = HeaderValue::from_static("2 gwd");

/// Head of the request to a target.
pub struct Outbound<'h> {
    pub(super) method: &'h Method,
    pub(super) target: Cow<'h, PathAndQuery>,
    pub(super) host: Cow<'h, HeaderValue>,
    /// The client's fields. A changed copy if the client or a policy set fields that the gateway
    /// sets.
    pub(super) headers: Cow<'h, HeaderMap>,
    /// Forwarding fields to add. `None` if the gateway is not the first proxy.
    pub(super) hop: Option<&'h ThisHop>,
    pub(super) added: AddedFields<'h>,
}

/// Fields that the gateway adds to a request.
#[derive(Debug, Default)]
pub(super) struct AddedFields<'h> {
    /// Value of `X-Forwarded-Prefix`: the removed base path. `None`: not added.
    pub(super) prefix: Option<HeaderValue>,
    pub(super) via: Option<&'static HeaderValue>,
    pub(super) request_id: Option<&'h HeaderValue>,
    pub(super) consumer: Option<HeaderValue>,
    /// Fields that carry the client's certificate.
    pub(super) certificate: &'h [(HeaderName, HeaderValue)],
    /// True to add `Connection: close`.
    pub(super) closing: bool,
    /// Value of `traceparent`. `None`: not added.
    pub(super) traceparent: Option<[u8; TRACEPARENT_BYTES]>,
}

impl<'h> Outbound<'h> {
    /// Creates a head that is sent unchanged, without added fields.
    #[must_use]
    pub fn whole(head: &'h RequestHead) -> Self {
        static NO_HOST: HeaderValue = HeaderValue::from_static("");
        Self {
            method: &head.method,
            target: Cow::Borrowed(&head.target),
            host: Cow::Borrowed(head.headers.get(HOST).unwrap_or(&NO_HOST)),
            headers: Cow::Borrowed(&head.headers),
            hop: None,
            added: AddedFields::default(),
        }
    }

    /// Adds `Connection: close`. Has no effect if the head has `Connection` already.
    pub fn close(&mut self) {
        self.added.closing = !self.headers.contains_key(CONNECTION);
    }

    /// Adds `traceparent`. The request must not have this field yet.
    pub fn trace(&mut self, traceparent: [u8; TRACEPARENT_BYTES]) {
        self.added.traceparent = Some(traceparent);
    }

    /// Value of `traceparent` to add. It is not a `HeaderValue`, which would need memory on the
    /// heap.
    #[must_use]
    pub fn traceparent(&self) -> Option<&[u8; TRACEPARENT_BYTES]> {
        self.added.traceparent.as_ref()
    }

    /// Method of the request to the target.
    #[must_use]
    pub fn method(&self) -> &'h Method {
        self.method
    }

    /// Path and query for the target.
    #[must_use]
    pub fn target(&self) -> &PathAndQuery {
        &self.target
    }

    /// Value of `Host`.
    #[must_use]
    pub fn host(&self) -> &HeaderValue {
        &self.host
    }

    /// Calls `field` for all fields except `Host` and [`Self::traceparent`], in the order of
    /// sending.
    pub fn each_field(&self, mut field: impl FnMut(&HeaderName, &HeaderValue)) {
        for (name, value) in &*self.headers {
            if *name != HOST {
                field(name, value);
            }
        }
        if let Some(hop) = self.hop {
            hop.each_field(&mut field);
        }
        let added = &self.added;
        if let Some(prefix) = &added.prefix {
            field(&this_hop::X_FORWARDED_PREFIX, prefix);
        }
        if let Some(via) = added.via {
            field(&VIA, via);
        }
        if let Some(id) = added.request_id {
            field(&X_REQUEST_ID, id);
        }
        if let Some(consumer) = &added.consumer {
            field(&X_CONSUMER_NAME, consumer);
        }
        for (name, value) in added.certificate {
            field(name, value);
        }
        if added.closing {
            field(&CONNECTION, &CLOSE);
        }
    }

    /// All fields as a map, `Host` first.
    #[must_use]
    pub fn to_headers(&self) -> HeaderMap {
        let mut headers = HeaderMap::with_capacity(self.headers.len() + 10);
        headers.insert(HOST, self.host.clone().into_owned());
        self.each_field(|name, value| {
            headers.append(name, value.clone());
        });
        if let Some(value) = self.traceparent()
            && let Ok(value) = HeaderValue::from_bytes(value)
        {
            headers.insert(&TRACEPARENT, value);
        }
        headers
    }
}

/// True for a field that the gateway sets itself on requests to upstreams.
pub(super) fn is_set_by_gateway(name: &HeaderName) -> bool {
    let text = name.as_str().as_bytes();
    match text.first() {
        Some(b'x') => {
            text.starts_with(b"x-forwarded-")
                || *name == X_REQUEST_ID
                || *name == X_CONSUMER_NAME
                || *name == this_hop::X_REAL_IP
        }
        Some(b'f') => *name == FORWARDED,
        Some(b'c') => text.starts_with(b"client-cert"),
        _ => false,
    }
}

/// Removes the fields that the gateway sets itself on every request to an upstream.
pub(super) fn remove_gateway_fields(headers: &mut HeaderMap, added: &AddedFields<'_>) {
    headers.remove(&X_REQUEST_ID);
    if added.consumer.is_some() {
        headers.remove(&X_CONSUMER_NAME);
    }
    if !added.certificate.is_empty() {
        for name in [&CLIENT_CERT, &CLIENT_CERT_CHAIN, &X_FORWARDED_CLIENT_CERT] {
            headers.remove(name);
        }
    }
}

/// Value of `Via` for this hop, with the HTTP version of the client's request (RFC 9110 §7.6.3).
pub(super) fn via(version: Version) -> &'static HeaderValue {
    match version {
        Version::HTTP_2 => &VIA_2,
        Version::HTTP_10 => &VIA_1_0,
        _ => &VIA_1_1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_of_the_gateway_replace_those_of_policies() {
        for (has_consumer, left) in [(true, 0), (false, 2)] {
            let mut headers = HeaderMap::new();
            for name in [&X_REQUEST_ID, &X_CONSUMER_NAME] {
                headers.append(name, HeaderValue::from_static("one"));
                headers.append(name, HeaderValue::from_static("two"));
            }
            let added = AddedFields {
                consumer: has_consumer.then(|| HeaderValue::from_static("alice")),
                ..AddedFields::default()
            };
            remove_gateway_fields(&mut headers, &added);
            assert!(!headers.contains_key(&X_REQUEST_ID));
            let names = headers.get_all(&X_CONSUMER_NAME).iter().count();
            assert_eq!(names, left, "a caller without a name keeps the policy's");
        }
    }
}
