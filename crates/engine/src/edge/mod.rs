//! The edge: what a request's head must be before anything else looks at it
//! (semantics.md §2 and §6, data-plane.md §11).
//!
//! hyper has framed the message; what it leaves is done here in one pass over the fields: one
//! valid host, no hop-by-hop field, no forwarding or identity field from somebody who may not
//! set it, a normalised path.

mod hop_by_hop;

use std::net::IpAddr;

use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::uri::PathAndQuery;
use http::{Method, Version, request};
use policy::{Reject, RequestHead};

pub use crate::edge::hop_by_hop::{announced, trailers};
use crate::edge::hop_by_hop::{is_trailers, nominated};
use crate::path::normalise;
use crate::snapshot::Listener;

macro_rules! rejects {
    ($($name:ident $status:literal $code:literal $title:literal;)*) => {
        $(static $name: Reject = Reject { status: $status, code: $code, title: $title };)*
        /// Every way in which the edge refuses.
        pub static REJECTS: &[&Reject] = &[$(&$name),*];
    };
}

rejects! {
    HOST_INVALID        400 "host_invalid"        "Exactly one valid Host is needed";
    FRAMING_INVALID     400 "framing_invalid"     "The message is framed ambiguously";
    PATH_INVALID        400 "path_invalid"        "The path is not valid";
    TARGET_INVALID      400 "target_invalid"      "The request target is not valid";
    TARGET_TOO_LONG     414 "target_too_long"     "The request target is too long";
    TOO_MANY_HEADERS    431 "headers_too_large"   "The request has too many header fields";
    CONNECT_REFUSED     405 "connect_refused"     "CONNECT is not served";
    TRACE_REFUSED       405 "trace_refused"       "TRACE is not served";
    EXPECTATION_FAILED  417 "expectation_failed"  "Only 100-continue can be expected";
    LOOP_DETECTED       508 "loop_detected"       "The request came round too often";
}

/// How often this gateway may stand in `Via` before a request counts as going in circles.
const VIA_MAX: usize = 8;
/// The pseudonym in `Via`.
pub const PSEUDONYM: &str = "gwd";

/// A request that may be decided.
#[derive(Debug)]
pub struct Admitted {
    /// Its head.
    pub head: RequestHead,
    /// Who is taken for the client.
    pub client: IpAddr,
    /// Whether the peer is a trusted proxy.
    pub trusted: bool,
    /// The id that a trusted peer gave, if it is one we take.
    pub request_id: Option<HeaderValue>,
    /// Whether the client waits for `100 Continue`.
    pub expects_continue: bool,
    /// `Host` as the client wrote it, with its port.
    pub authority: HeaderValue,
}

/// Checks a head. A refusal closes the connection: nobody can be sure where the next request
/// begins for somebody who sends such heads.
pub fn admit(
    parts: request::Parts,
    listener: &Listener,
    peer: IpAddr,
) -> Result<Admitted, &'static Reject> {
    let request::Parts {
        method,
        uri,
        version,
        mut headers,
        ..
    } = parts;
    let limits = &listener.limits;
    match method {
        Method::CONNECT => return Err(&CONNECT_REFUSED),
        Method::TRACE => return Err(&TRACE_REFUSED),
        _ => {}
    }
    if headers.len() as u64 > limits.headers {
        return Err(&TOO_MANY_HEADERS);
    }
    let length = uri
        .path_and_query()
        .map_or(0, |target| target.as_str().len());
    if length as u64 > limits.target_bytes {
        return Err(&TARGET_TOO_LONG);
    }
    let trusted = listener
        .trusted_proxies
        .iter()
        .any(|range| range.contains(peer));
    let found = sweep(&mut headers, trusted)?;
    if version == Version::HTTP_2 {
        join_cookies(&mut headers);
    }
    framing(&headers, version)?;

    let mut hosts = headers.get_all(header::HOST).iter();
    let host_field = match (hosts.next(), hosts.next()) {
        (Some(host), None) => Some(host.clone()),
        (None, _) => None,
        (Some(_), Some(_)) => return Err(&HOST_INVALID),
    };
    if let Some(field) = &host_field
        && field.to_str().ok().and_then(host_of).is_none()
    {
        return Err(&HOST_INVALID);
    }
    let authority = match (uri.authority(), uri.scheme_str()) {
        // An absolute-form target replaces Host (RFC 9112 §3.2.2); HTTP/1.1 needs the field all
        // the same.
        (Some(authority), Some("http" | "https")) if version != Version::HTTP_2 => {
            host_field.ok_or(&HOST_INVALID)?;
            HeaderValue::try_from(authority.as_str()).map_err(|_| &HOST_INVALID)?
        }
        // `:authority` stands in the place of Host; beside it, Host says the same or nobody can
        // be sure (RFC 9113 §8.3.1).
        (Some(authority), Some("http" | "https")) => {
            let agree = |host: HeaderValue| {
                host.as_bytes()
                    .eq_ignore_ascii_case(authority.as_str().as_bytes())
            };
            if !host_field.is_none_or(agree) {
                return Err(&HOST_INVALID);
            }
            HeaderValue::try_from(authority.as_str()).map_err(|_| &HOST_INVALID)?
        }
        (Some(_), _) => return Err(&TARGET_INVALID),
        (None, _) => host_field.ok_or(&HOST_INVALID)?,
    };
    let host = authority
        .to_str()
        .ok()
        .and_then(host_of)
        .ok_or(&HOST_INVALID)?;
    let target = target(&method, uri.into_parts().path_and_query)?;
    let client = client(&headers, listener, peer, trusted);
    let request_id = headers
        .remove(&X_REQUEST_ID)
        .filter(|id| trusted && is_request_id(id.as_bytes()));
    Ok(Admitted {
        head: RequestHead {
            method,
            target,
            host,
            headers,
        },
        client,
        trusted,
        request_id,
        expects_continue: found.expects_continue,
        authority,
    })
}

/// `x-request-id`
pub static X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// `x-forwarded-for`
pub static X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// The forwarding fields: believed from trusted proxies only.
const FORWARDING: [&str; 8] = [
    "forwarded",
    "x-forwarded-for",
    "x-forwarded-host",
    "x-forwarded-port",
    "x-forwarded-prefix",
    "x-forwarded-proto",
    "x-forwarded-server",
    "x-real-ip",
];
/// What begins the name of a field that says who calls; only the gateway sets those.
const IDENTITY: &str = "x-consumer-";

struct Swept {
    expects_continue: bool,
}

/// One pass over the fields: what is said about the connection is taken out, what only the
/// gateway may say is taken out, what must hold is checked.
fn sweep(headers: &mut HeaderMap, trusted: bool) -> Result<Swept, &'static Reject> {
    let mut doomed: Vec<HeaderName> = Vec::new();
    let mut expects_continue = false;
    let mut announces: Vec<Option<HeaderValue>> = Vec::new();
    let mut drop_trace = false;
    let mut traced = false;
    let mut seen = 0;
    for (name, value) in headers.iter() {
        match name.as_str() {
            "connection" => nominated(value, &mut doomed),
            "keep-alive"
            | "proxy-connection"
            | "proxy-authenticate"
            | "proxy-authorization"
            | "upgrade" => doomed.push(name.clone()),
            "trailer" => announces.push(announced(value)),
            "te" if !is_trailers(value) => doomed.push(name.clone()),
            "expect" => {
                if !value.as_bytes().eq_ignore_ascii_case(b"100-continue") {
                    return Err(&EXPECTATION_FAILED);
                }
                expects_continue = true;
            }
            // Each gateway on the way may add a line of its own: all lines count together.
            "via" => {
                seen += times_seen(value);
                if seen > VIA_MAX {
                    return Err(&LOOP_DETECTED);
                }
            }
            "traceparent" => {
                // Two parents are none (W3C Trace Context §3.2).
                drop_trace |= traced || !is_traceparent(value.as_bytes());
                traced = true;
            }
            text if is_managed(text, trusted) => doomed.push(name.clone()),
            _ => {}
        }
    }
    if headers.contains_key(header::CONNECTION) {
        doomed.push(header::CONNECTION);
    }
    if drop_trace {
        doomed.extend([
            HeaderName::from_static("traceparent"),
            HeaderName::from_static("tracestate"),
        ]);
    }
    if !announces.is_empty() {
        headers.remove(header::TRAILER);
        for value in announces.into_iter().flatten() {
            headers.append(header::TRAILER, value);
        }
    }
    for name in doomed {
        headers.remove(name);
    }
    Ok(Swept { expects_continue })
}

/// Whether a field is one that only the gateway (or a trusted proxy) may set, also in the
/// spellings that some servers fold into it: `_` and `.` for `-` (CVE-2026-88011).
fn is_managed(name: &str, trusted: bool) -> bool {
    // Most names begin with neither: one byte decides.
    if !matches!(name.as_bytes().first(), Some(b'x' | b'f')) {
        return false;
    }
    let folds = name.bytes().any(|b| matches!(b, b'_' | b'.'));
    let folded;
    let plain = if folds {
        folded = name.replace(['_', '.'], "-");
        folded.as_str()
    } else {
        name
    };
    if plain.starts_with(IDENTITY) {
        return true;
    }
    let forwarding = FORWARDING.contains(&plain);
    // A trusted proxy's own fields stay; a folded spelling is nobody's.
    forwarding && (folds || !trusted) || folds && plain == "x-request-id"
}

fn times_seen(value: &HeaderValue) -> usize {
    let text = value.to_str().unwrap_or_default();
    text.split(',')
        .filter(|hop| hop.split_whitespace().nth(1) == Some(PSEUDONYM))
        .count()
}

/// `00-` trace id `-` parent id `-` flags; later versions may be longer (W3C Trace Context §3.2).
fn is_traceparent(value: &[u8]) -> bool {
    let hex = |range: std::ops::Range<usize>| {
        value
            .get(range)
            .is_some_and(|part| part.iter().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')))
    };
    let zero = |range: std::ops::Range<usize>| {
        value
            .get(range)
            .is_some_and(|part| part.iter().all(|b| *b == b'0'))
    };
    let dash = |at: usize| value.get(at) == Some(&b'-');
    let shape =
        hex(0..2) && dash(2) && hex(3..35) && dash(35) && hex(36..52) && dash(52) && hex(53..55);
    let length = match value.get(..2) {
        Some(b"00") => value.len() == 55,
        Some(b"ff") => false,
        _ => value.len() == 55 || dash(55),
    };
    shape && length && !zero(3..35) && !zero(36..52)
}

/// HTTP/2 may split Cookie into several lines; HTTP/1.1 has one (RFC 9113 §8.2.3).
fn join_cookies(headers: &mut HeaderMap) {
    let mut lines = headers.get_all(header::COOKIE).iter();
    let (Some(first), Some(second)) = (lines.next(), lines.next()) else {
        return;
    };
    let mut joined = first.as_bytes().to_vec();
    for line in std::iter::once(second).chain(lines) {
        joined.extend_from_slice(b"; ");
        joined.extend_from_slice(line.as_bytes());
    }
    if let Ok(joined) = HeaderValue::from_maybe_shared(bytes::Bytes::from(joined)) {
        headers.insert(header::COOKIE, joined);
    }
}

/// Transfer-Encoding exactly once and exactly `chunked`, never beside a length, never in
/// HTTP/1.0 (RFC 9112 §6).
fn framing(headers: &HeaderMap, version: Version) -> Result<(), &'static Reject> {
    let mut codings = headers.get_all(header::TRANSFER_ENCODING).iter();
    let Some(coding) = codings.next() else {
        return Ok(());
    };
    let single = codings.next().is_none() && coding.as_bytes().eq_ignore_ascii_case(b"chunked");
    let alone = !headers.contains_key(header::CONTENT_LENGTH);
    if single && alone && version == Version::HTTP_11 {
        Ok(())
    } else {
        Err(&FRAMING_INVALID)
    }
}

/// The host of `uri-host[:port]` in lower case without a final dot; none where it is not valid.
fn host_of(authority: &str) -> Option<Box<str>> {
    let (host, port) = match authority.strip_prefix('[') {
        Some(rest) => {
            let (address, behind) = rest.split_once(']')?;
            address.parse::<std::net::Ipv6Addr>().ok()?;
            (
                &authority[..address.len() + 2],
                behind
                    .strip_prefix(':')
                    .or(behind.is_empty().then_some(""))
                    .filter(|port| !(behind.starts_with(':') && port.is_empty()))?,
            )
        }
        None => match authority.split_once(':') {
            Some((_, "")) => return None,
            Some((host, port)) => (host, port),
            None => (authority, ""),
        },
    };
    let port_fine = port.is_empty()
        || port.len() <= 5
            && port.bytes().all(|b| b.is_ascii_digit())
            && port.parse::<u16>().is_ok_and(|port| port > 0);
    let name = host.strip_suffix('.').unwrap_or(host);
    let valid = |b: u8| {
        b.is_ascii_alphanumeric()
            || matches!(
                b,
                b'-' | b'.'
                    | b'_'
                    | b'~'
                    | b'!'
                    | b'$'
                    | b'&'
                    | b'\''
                    | b'('
                    | b')'
                    | b'*'
                    | b'+'
                    | b';'
                    | b'='
            )
    };
    let host_fine = !name.is_empty() && (name.starts_with('[') || name.bytes().all(valid));
    (port_fine && host_fine).then(|| {
        let mut lower: Box<str> = name.into();
        lower.make_ascii_lowercase();
        lower
    })
}

/// The target with its path normalised; the client's own bytes where nothing had to change.
fn target(method: &Method, target: Option<PathAndQuery>) -> Result<PathAndQuery, &'static Reject> {
    let target = target.unwrap_or(PathAndQuery::from_static("/"));
    if target.as_str() == "*" {
        return if method == Method::OPTIONS {
            Ok(target)
        } else {
            Err(&TARGET_INVALID)
        };
    }
    if target
        .query()
        .is_some_and(|query| query.bytes().any(|b| matches!(b, 0..=0x1F | 0x7F.. | b'#')))
    {
        return Err(&TARGET_INVALID);
    }
    let path = normalise(target.path()).map_err(|_| &PATH_INVALID)?;
    if let std::borrow::Cow::Borrowed(_) = path {
        return Ok(target);
    }
    let text = match target.query() {
        Some(query) => format!("{path}?{query}"),
        None => path.into_owned(),
    };
    PathAndQuery::try_from(text).map_err(|_| &PATH_INVALID)
}

/// The right-most address of X-Forwarded-For that is not a trusted proxy's; the peer where it
/// is not trusted itself.
fn client(headers: &HeaderMap, listener: &Listener, peer: IpAddr, trusted: bool) -> IpAddr {
    if !trusted {
        return peer;
    }
    let mut client = peer;
    for value in headers.get_all(&X_FORWARDED_FOR).iter().rev() {
        for hop in value.to_str().unwrap_or_default().rsplit(',') {
            let Ok(address) = hop.trim().trim_matches(['[', ']']).parse::<IpAddr>() else {
                return client;
            };
            client = address;
            if !listener
                .trusted_proxies
                .iter()
                .any(|range| range.contains(address))
            {
                return client;
            }
        }
    }
    client
}

fn is_request_id(id: &[u8]) -> bool {
    (1..=128).contains(&id.len())
        && id
            .iter()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-'))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::router::HostTable;
    use bundle::ir::{Cidr, ListenerLimits};

    fn listener(trusted: &[&str]) -> Listener {
        Listener {
            name: "public".into(),
            address: "127.0.0.1:0".parse().unwrap(),
            limits: ListenerLimits {
                connections: 10,
                header_bytes: 65_536,
                headers: 20,
                header_timeout_ms: 1_000,
                idle_timeout_ms: 1_000,
                target_bytes: 64,
            },
            trusted_proxies: trusted
                .iter()
                .map(|range| Cidr::parse(range).unwrap())
                .collect(),
            scheme: "http",
            http2: false,
            hosts: HostTable::default(),
        }
    }

    fn request(method: &str, target: &str, fields: &[(&str, &str)]) -> request::Parts {
        let mut builder = http::Request::builder().method(method).uri(target);
        for (name, value) in fields {
            builder = builder.header(*name, *value);
        }
        builder.body(()).unwrap().into_parts().0
    }

    fn code(method: &str, target: &str, fields: &[(&str, &str)]) -> &'static str {
        admit(
            request(method, target, fields),
            &listener(&[]),
            "10.0.0.1".parse().unwrap(),
        )
        .map_or_else(|reject| reject.code, |_| "ok")
    }

    #[test]
    fn heads_that_nobody_can_be_sure_of_are_refused() {
        let host = ("host", "h");
        type Case<'a> = (&'a str, &'a str, &'a [(&'a str, &'a str)], &'a str);
        let cases: &[Case<'_>] = &[
            ("GET", "/", &[host], "ok"),
            ("GET", "/", &[], "host_invalid"),
            ("GET", "/", &[host, host], "host_invalid"),
            ("GET", "/", &[("host", "a b")], "host_invalid"),
            ("GET", "/", &[("host", "a,b")], "host_invalid"),
            ("GET", "/", &[("host", "u@h")], "host_invalid"),
            ("GET", "/", &[("host", "h:")], "host_invalid"),
            ("GET", "/", &[("host", "h:0")], "host_invalid"),
            ("GET", "/", &[("host", "h:65536")], "host_invalid"),
            ("GET", "/", &[("host", "h:8080")], "ok"),
            ("GET", "/", &[("host", "[::1]:8080")], "ok"),
            ("GET", "/", &[("host", "[::1]x")], "host_invalid"),
            ("GET", "/", &[("host", "[::1]:")], "host_invalid"),
            ("GET", "/", &[("host", "[::1")], "host_invalid"),
            ("GET", "/", &[("host", "h/x")], "host_invalid"),
            ("GET", "http://h/", &[host], "ok"),
            ("GET", "http://h/", &[], "host_invalid"),
            ("GET", "http://u@h/", &[host], "host_invalid"),
            ("GET", "ftp://h/", &[host], "target_invalid"),
            ("CONNECT", "h:443", &[host], "connect_refused"),
            ("TRACE", "/", &[host], "trace_refused"),
            ("OPTIONS", "*", &[host], "ok"),
            ("GET", "*", &[host], "target_invalid"),
            ("GET", "/a/%00", &[host], "path_invalid"),
            ("GET", "/a/../../b", &[host], "path_invalid"),
            (
                "GET",
                "/aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
                &[host],
                "target_too_long",
            ),
            ("POST", "/", &[host, ("transfer-encoding", "chunked")], "ok"),
            (
                "POST",
                "/",
                &[host, ("transfer-encoding", "gzip, chunked")],
                "framing_invalid",
            ),
            (
                "POST",
                "/",
                &[
                    host,
                    ("transfer-encoding", "chunked"),
                    ("transfer-encoding", "chunked"),
                ],
                "framing_invalid",
            ),
            (
                "POST",
                "/",
                &[
                    host,
                    ("transfer-encoding", "chunked"),
                    ("content-length", "3"),
                ],
                "framing_invalid",
            ),
            ("POST", "/", &[host, ("expect", "100-Continue")], "ok"),
            (
                "POST",
                "/",
                &[host, ("expect", "miracles")],
                "expectation_failed",
            ),
            (
                "GET",
                "/",
                &[
                    host,
                    (
                        "via",
                        "1.1 gwd, 1.1 gwd, 1.1 gwd, 1.1 gwd, 1.1 gwd, 1.1 gwd, 1.1 gwd, 1.1 gwd, 1.1 gwd",
                    ),
                ],
                "loop_detected",
            ),
        ];
        for (method, target, fields, expected) in cases {
            assert_eq!(
                code(method, target, fields),
                *expected,
                "{method} {target} {fields:?}"
            );
        }
        let many: Vec<(String, &str)> = (0..20).map(|i| (format!("x-{i}"), "v")).collect();
        let mut fields: Vec<(&str, &str)> = many
            .iter()
            .map(|(name, value)| (name.as_str(), *value))
            .collect();
        fields.push(host);
        assert_eq!(code("GET", "/", &fields), "headers_too_large");
    }

    #[test]
    fn connection_fields_and_what_only_the_gateway_says_are_taken_out() {
        let fields = [
            ("host", "Example.ORG.:80"),
            ("connection", "close, X-Hop"),
            ("connection", "x-other, Authorization, Host"),
            ("x-hop", "1"),
            ("x-other", "1"),
            ("authorization", "Bearer t"),
            ("keep-alive", "1"),
            ("te", "trailers"),
            ("upgrade", "websocket"),
            ("x-forwarded-for", "6.6.6.6"),
            ("x_forwarded.for", "6.6.6.6"),
            ("forwarded", "for=6.6.6.6"),
            ("x-consumer-name", "root"),
            ("x_consumer_id", "root"),
            ("x-request-id", "mine"),
            (
                "traceparent",
                "00-00000000000000000000000000000000-0000000000000001-01",
            ),
            ("tracestate", "a=b"),
            ("x_custom", "stays"),
            ("accept", "*/*"),
        ];
        let admitted = admit(
            request("GET", "/a/./b?q=%41", &fields),
            &listener(&[]),
            "10.0.0.1".parse().unwrap(),
        )
        .unwrap();
        let mut names: Vec<&str> = admitted
            .head
            .headers
            .keys()
            .map(HeaderName::as_str)
            .collect();
        names.sort_unstable();
        assert_eq!(names, ["accept", "authorization", "host", "te", "x_custom"]);
        assert_eq!(
            (&*admitted.head.host, admitted.head.target.as_str()),
            ("example.org", "/a/b?q=%41")
        );
        assert_eq!(
            (admitted.client, admitted.request_id),
            ("10.0.0.1".parse().unwrap(), None)
        );
    }

    #[test]
    fn trusted_proxies_are_believed_as_far_as_they_are_trusted() {
        let fields = [
            ("host", "h"),
            ("x-forwarded-for", "6.6.6.6, 203.0.113.9"),
            ("x-forwarded-for", "10.1.1.1"),
            ("x-request-id", "abc-1"),
            ("x_real_ip", "6.6.6.6"),
        ];
        let admitted = admit(
            request("GET", "/", &fields),
            &listener(&["10.0.0.0/8"]),
            "10.0.0.1".parse().unwrap(),
        )
        .unwrap();
        assert_eq!(admitted.client, "203.0.113.9".parse::<IpAddr>().unwrap());
        assert_eq!(admitted.request_id.unwrap(), "abc-1");
        assert!(!admitted.head.headers.contains_key("x_real_ip"));
        assert!(admitted.head.headers.contains_key("x-forwarded-for"));
    }

    #[test]
    fn connection_cannot_take_away_what_a_trusted_proxy_says() {
        let fields = [
            ("host", "h"),
            (
                "connection",
                "X-Forwarded-For, x-forwarded-proto, Forwarded, X-Request-Id, Via",
            ),
            ("x-forwarded-for", "203.0.113.9"),
            ("x-forwarded-proto", "https"),
            ("x-request-id", "abc-1"),
            ("via", "1.1 lb"),
        ];
        let admitted = admit(
            request("GET", "/", &fields),
            &listener(&["10.0.0.0/8"]),
            "10.0.0.1".parse().unwrap(),
        )
        .unwrap();
        assert_eq!(admitted.client, "203.0.113.9".parse::<IpAddr>().unwrap());
        assert_eq!(admitted.request_id.unwrap(), "abc-1");
        assert_eq!(admitted.head.headers["x-forwarded-proto"], "https");
        assert!(admitted.head.headers.contains_key("via"));
    }

    #[test]
    fn loops_are_seen_however_via_is_split_into_lines() {
        let mut fields = vec![("host", "h")];
        fields.extend([("via", "1.1 gwd"); 8]);
        assert_eq!(code("GET", "/", &fields), "ok");
        fields.push(("via", "1.1 gwd"));
        assert_eq!(code("GET", "/", &fields), "loop_detected");
    }

    #[test]
    fn an_absolute_target_does_not_excuse_a_broken_host() {
        let fields = [("host", "a b")];
        assert_eq!(code("GET", "http://h/", &fields), "host_invalid");
    }

    #[test]
    fn traces_that_are_valid_pass() {
        let valid = [
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "cc-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-what-comes-later",
        ];
        let invalid = [
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-more",
            "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
            "00-4bf9-00f067aa0ba902b7-01",
        ];
        assert!(valid.iter().all(|value| is_traceparent(value.as_bytes())));
        assert!(!invalid.iter().any(|value| is_traceparent(value.as_bytes())));
    }

    #[test]
    fn cookie_lines_of_http_2_become_one() {
        let fields = [("cookie", "a=1"), ("cookie", "b=2; c=3"), ("cookie", "d=4")];
        let mut parts = request("GET", "http://shop.example/", &fields);
        parts.version = Version::HTTP_2;
        let peer = "10.0.0.1".parse().unwrap();
        let admitted = admit(parts, &listener(&[]), peer).unwrap();
        let lines = admitted.head.headers.get_all(header::COOKIE);
        let lines: Vec<_> = lines.iter().collect();
        assert_eq!(lines, ["a=1; b=2; c=3; d=4"]);
    }
}
