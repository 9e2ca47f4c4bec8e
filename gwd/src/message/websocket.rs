//! WebSocket handshakes of clients: an upgrade over HTTP/1.1 (RFC 6455 §4), or an extended CONNECT
//! over HTTP/2 (RFC 8441). Both are converted to the protocol that the upstream uses.

use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::{Method, Version, request};
use hyper::ext::Protocol;
use hyper::upgrade::OnUpgrade;
use policy::Reject;
use sha1::{Digest as _, Sha1};

const KEY: HeaderName = header::SEC_WEBSOCKET_KEY;
const ACCEPT: HeaderName = header::SEC_WEBSOCKET_ACCEPT;
const VERSION: HeaderName = header::SEC_WEBSOCKET_VERSION;
const PROTOCOL: HeaderName = header::SEC_WEBSOCKET_PROTOCOL;
const EXTENSIONS: HeaderName = header::SEC_WEBSOCKET_EXTENSIONS;
const WEBSOCKET: HeaderValue = HeaderValue::from_static("websocket");
const UPGRADE: HeaderValue = HeaderValue::from_static("upgrade");
/// Constant that client and server append to the key before hashing (RFC 6455 §1.3).
const GUID: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

static BAD_VERSION: Reject = Reject::new(
    426,
    "websocket_version",
    "Only version 13 of the WebSocket protocol is supported",
);
static BAD_KEY: Reject = Reject::new(
    400,
    "websocket_invalid",
    "The WebSocket handshake is not valid",
);
static WITH_CONTENT: Reject = Reject::new(
    400,
    "websocket_invalid",
    "A WebSocket handshake has no content",
);
static NOT_SERVED: Reject = Reject::new(
    501,
    "websocket_not_served",
    "The operation is not a WebSocket",
);

/// WebSocket handshake from a client.
pub(crate) struct Handshake {
    over: Over,
    fault: Option<&'static Reject>,
}

enum Over {
    Http1,
    Http2(OnUpgrade),
}

/// Fields that an upstream's response must have, or may have, to confirm the WebSocket handshake.
pub(crate) struct Expected {
    /// Value of `Sec-WebSocket-Accept`.
    accept: HeaderValue,
    /// Values of `Sec-WebSocket-Protocol` in the request: the offered protocols.
    protocols: Vec<HeaderValue>,
    /// Values of `Sec-WebSocket-Extensions` in the request: the offered extensions.
    extensions: Vec<HeaderValue>,
}

impl Handshake {
    /// Takes the handshake from a request, if there is one. An extended CONNECT becomes the
    /// equivalent GET, so that routing and policies treat both forms alike. The upgrade fields stay
    /// in the request; `engine::edge` removes them.
    pub(crate) fn take(parts: &mut request::Parts) -> Option<Self> {
        if parts.version == Version::HTTP_2 {
            let protocol = parts.extensions.get::<Protocol>()?;
            if parts.method != Method::CONNECT || protocol.as_str() != "websocket" {
                return None;
            }
            let upgrade = parts.extensions.remove::<OnUpgrade>()?;
            parts.method = Method::GET;
            return Some(Self {
                over: Over::Http2(upgrade),
                fault: fault_of_length(&parts.headers).or_else(|| fault_of_version(&parts.headers)),
            });
        }
        let upgrade = parts.headers.get(header::UPGRADE)?;
        let wished = parts.version == Version::HTTP_11
            && parts.method == Method::GET
            && has_token(upgrade, "websocket")
            && parts
                .headers
                .get_all(header::CONNECTION)
                .iter()
                .any(|value| has_token(value, "upgrade"));
        wished.then(|| Self {
            over: Over::Http1,
            fault: fault_of_version(&parts.headers).or_else(|| fault_of_key(&parts.headers)),
        })
    }

    /// Reason why the upgrade must be rejected, or `None` if it is allowed or ignored. Content is
    /// rejected only over HTTP/1.1, because the upstream would read it as the first frames. Over
    /// HTTP/2, the body consists of the frames.
    pub(crate) fn fault(&self, is_websocket: bool, content: bool) -> Option<&'static Reject> {
        match self.over {
            Over::Http1 if is_websocket && content => Some(&WITH_CONTENT),
            _ if is_websocket => self.fault,
            // Not a WebSocket operation: serve the request without the upgrade (RFC 9110 §7.8).
            Over::Http1 => None,
            Over::Http2(_) => Some(&NOT_SERVED),
        }
    }

    /// Adds the upgrade fields to the head for an HTTP/1.1 upstream. A client over HTTP/2 has sent
    /// no key: `random` becomes the key.
    pub(crate) fn prepare(&self, headers: &mut HeaderMap, random: [u8; 16]) -> Expected {
        headers.insert(header::CONNECTION, UPGRADE);
        headers.insert(header::UPGRADE, WEBSOCKET);
        if let Over::Http2(_) = self.over {
            let key = base64(&random);
            headers.insert(KEY, key);
        }
        let key = headers.get(KEY).map_or(&b""[..], HeaderValue::as_bytes);
        let offered = |name: HeaderName| headers.get_all(name).iter().cloned().collect();
        Expected {
            accept: accept_of(key),
            protocols: offered(PROTOCOL),
            extensions: offered(EXTENSIONS),
        }
    }

    /// Prepares the head for an upstream with extended CONNECT: removes the fields of an HTTP/1.1
    /// upgrade (RFC 8441 §5).
    pub(crate) fn prepare_http2(&self, headers: &mut HeaderMap) -> Expected {
        let expected = self.prepare(headers, [0; 16]);
        for name in [header::CONNECTION, header::UPGRADE, KEY] {
            headers.remove(name);
        }
        expected
    }

    /// Completes the response head after the upstream has confirmed the handshake. Over HTTP/2,
    /// returns the upgraded stream. Over HTTP/1, returns `None`.
    pub(crate) fn agree(self, headers: &mut HeaderMap) -> Option<OnUpgrade> {
        match self.over {
            Over::Http1 => {
                headers.insert(header::CONNECTION, UPGRADE);
                headers.insert(header::UPGRADE, WEBSOCKET);
                None
            }
            Over::Http2(upgrade) => {
                headers.remove(ACCEPT);
                Some(upgrade)
            }
        }
    }

    pub(crate) fn is_http2(&self) -> bool {
        matches!(self.over, Over::Http2(_))
    }
}

impl Expected {
    /// True if the fields of a 101 response confirm the handshake (RFC 6455 §4.1).
    pub(crate) fn is_met(&self, headers: &HeaderMap) -> bool {
        let upgrade = headers.get(header::UPGRADE);
        let mut connection = headers.get_all(header::CONNECTION).iter();
        upgrade.is_some_and(|value| has_token(value, "websocket"))
            && connection.any(|value| has_token(value, "upgrade"))
            && headers.get(ACCEPT) == Some(&self.accept)
            && self.is_offered(headers)
    }

    /// True if a response selects at most one protocol, which the request offered, and only
    /// extensions that the request offered. Otherwise the client must fail the connection (RFC 6455
    /// §4.1).
    pub(crate) fn is_offered(&self, headers: &HeaderMap) -> bool {
        let mut selected = headers.get_all(PROTOCOL).iter();
        let (protocol, second) = (selected.next(), selected.next());
        let has_protocol = |one: &HeaderValue| {
            let mut offered = elements(&self.protocols);
            offered.any(|offered| offered == one.as_bytes().trim_ascii())
        };
        let has_extension = |one: &[u8]| {
            let mut offered = elements(&self.extensions).map(extension);
            offered.any(|offered| offered.eq_ignore_ascii_case(extension(one)))
        };
        second.is_none()
            && protocol.is_none_or(has_protocol)
            && elements(headers.get_all(EXTENSIONS)).all(has_extension)
    }

    /// Adds `Sec-WebSocket-Accept` to a response: an upstream over HTTP/2 does not send this field,
    /// but a client over HTTP/1.1 needs it.
    pub(crate) fn confirm_handshake(self, headers: &mut HeaderMap) {
        headers.insert(ACCEPT, self.accept);
    }
}

/// Additional field of a rejection: `Sec-WebSocket-Version` if the status is 426. `None` for other
/// statuses.
pub(crate) fn additional_field(reject: &Reject) -> Option<(HeaderName, HeaderValue)> {
    (reject.status == 426).then_some((VERSION, HeaderValue::from_static("13")))
}

/// Rejection of an extended CONNECT with a length. The stream carries frames of any length, and a
/// CONNECT has no content (RFC 9110 §9.3.6).
fn fault_of_length(headers: &HeaderMap) -> Option<&'static Reject> {
    let has_length = headers.contains_key(header::CONTENT_LENGTH);
    has_length.then_some(&WITH_CONTENT)
}

fn fault_of_version(headers: &HeaderMap) -> Option<&'static Reject> {
    let thirteen = headers
        .get(VERSION)
        .is_some_and(|version| version.as_bytes().trim_ascii() == b"13");
    (!thirteen).then_some(&BAD_VERSION)
}

/// Rejection of the request unless it has exactly one key of 16 bytes in base64. `None`: the key is
/// valid.
fn fault_of_key(headers: &HeaderMap) -> Option<&'static Reject> {
    let mut keys = headers.get_all(KEY).iter();
    let fine = match (keys.next(), keys.next()) {
        (Some(key), None) => {
            let key = key.as_bytes();
            let digits = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/');
            key.len() == 24 && key.ends_with(b"==") && key[..22].iter().all(digits)
        }
        _ => false,
    };
    (!fine).then_some(&BAD_KEY)
}

/// Elements of a list field, over all its lines, without empty elements.
fn elements<'v>(
    lines: impl IntoIterator<Item = &'v HeaderValue>,
) -> impl Iterator<Item = &'v [u8]> {
    let all = lines.into_iter().map(HeaderValue::as_bytes);
    let all = all.flat_map(|line| line.split(|byte| *byte == b','));
    all.map(<[u8]>::trim_ascii).filter(|one| !one.is_empty())
}

/// Name of an extension, without its parameters.
fn extension(element: &[u8]) -> &[u8] {
    let name = element.split(|byte| *byte == b';').next();
    name.unwrap_or_default().trim_ascii()
}

fn has_token(value: &HeaderValue, token: &str) -> bool {
    value
        .as_bytes()
        .split(|byte| *byte == b',')
        .any(|one| one.trim_ascii().eq_ignore_ascii_case(token.as_bytes()))
}

fn accept_of(key: &[u8]) -> HeaderValue {
    let mut hash = Sha1::new();
    hash.update(key);
    hash.update(GUID);
    base64(&hash.finalize())
}

fn base64(bytes: &[u8]) -> HeaderValue {
    use base64::Engine as _;
    let text = base64::engine::general_purpose::STANDARD.encode(bytes);
    HeaderValue::try_from(text).expect("base64 is visible ASCII")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_key_of_the_rfc_is_accepted_as_the_rfc_says() {
        let accept = accept_of(b"dGhlIHNhbXBsZSBub25jZQ==");
        assert_eq!(accept, "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    }

    #[test]
    fn only_offered_protocols_and_extensions_are_valid() {
        let map = |fields: &[(&'static str, &'static str)]| {
            let mut headers = HeaderMap::new();
            for (name, value) in fields {
                headers.append(*name, HeaderValue::from_static(value));
            }
            headers
        };
        let protocol = "sec-websocket-protocol";
        let extensions = "sec-websocket-extensions";
        let offers = [
            (protocol, "chat, v2"),
            (protocol, "v3"),
            (
                extensions,
                "permessage-deflate; client_max_window_bits, x-a",
            ),
        ];
        let handshake = Handshake {
            over: Over::Http1,
            fault: None,
        };
        let expected = handshake.prepare(&mut map(&offers), [0; 16]);
        let none = handshake.prepare(&mut map(&[]), [0; 16]);
        for (fields, is_offered) in [
            (&[][..], true),
            (&[(protocol, "chat")], true),
            (&[(protocol, " v3 ")], true),
            (&[(protocol, "Chat")], false),
            (&[(protocol, "v4")], false),
            (&[(protocol, "chat, v2")], false),
            (&[(protocol, "")], false),
            (&[(protocol, "chat"), (protocol, "v2")], false),
            (&[(extensions, "permessage-deflate; a=\"1\"")], true),
            (&[(extensions, "X-A, Permessage-Deflate")], true),
            (&[(extensions, "x-a"), (extensions, "x-b")], false),
            (&[(extensions, "x-a; permessage-deflate")], true),
        ] {
            let headers = map(fields);
            assert_eq!(expected.is_offered(&headers), is_offered, "{fields:?}");
            assert_eq!(none.is_offered(&headers), fields.is_empty(), "{fields:?}");
        }
    }

    fn taken(fields: &[(&str, &str)]) -> Option<Option<u16>> {
        let mut request = http::Request::get("/");
        for (name, value) in fields {
            request = request.header(*name, *value);
        }
        let mut parts = request.body(()).unwrap().into_parts().0;
        let handshake = Handshake::take(&mut parts)?;
        Some(handshake.fault(true, false).map(|reject| reject.status))
    }

    #[test]
    fn extended_connect_has_no_length() {
        for (length, status) in [(None, None), (Some("0"), Some(400)), (Some("5"), Some(400))] {
            let request = http::Request::connect("/").version(Version::HTTP_2);
            let request = request.header("sec-websocket-version", "13");
            let mut parts = request.body(()).unwrap().into_parts().0;
            if let Some(length) = length {
                let value = HeaderValue::from_static(length);
                parts.headers.insert(header::CONTENT_LENGTH, value);
            }
            parts.extensions.insert(Protocol::from_static("websocket"));
            let upgrade = hyper::upgrade::on(http::Request::new(()));
            parts.extensions.insert(upgrade);
            let handshake = Handshake::take(&mut parts).unwrap();
            let refused = handshake.fault(true, false).map(|reject| reject.status);
            assert_eq!(refused, status, "{length:?}");
        }
    }

    #[test]
    fn incomplete_handshake_is_ignored_or_refused() {
        let key = ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==");
        let version = ("sec-websocket-version", "13");
        let connection = ("connection", "keep-alive, Upgrade");
        let upgrade = ("upgrade", "WebSocket");
        assert_eq!(taken(&[connection, upgrade, key, version]), Some(None));
        assert_eq!(taken(&[upgrade, key, version]), None);
        assert_eq!(taken(&[connection, key, version]), None);
        assert_eq!(taken(&[connection, ("upgrade", "h2c"), key, version]), None);
        assert_eq!(taken(&[connection, upgrade, key]), Some(Some(426)));
        let old = ("sec-websocket-version", "8");
        assert_eq!(taken(&[connection, upgrade, key, old]), Some(Some(426)));
        assert_eq!(taken(&[connection, upgrade, version]), Some(Some(400)));
        let short = ("sec-websocket-key", "dGhlIHNhbXBsZQ==");
        assert_eq!(
            taken(&[connection, upgrade, short, version]),
            Some(Some(400))
        );
        assert_eq!(
            taken(&[connection, upgrade, key, key, version]),
            Some(Some(400))
        );
    }
}
