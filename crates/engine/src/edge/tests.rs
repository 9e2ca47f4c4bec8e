use super::*;
use crate::router::HostTable;
use bundle::ir::{Cidr, ForwardingField, ListenerLimits};
use policy::managed;

mod forwarding;

fn listener(trusted: &[&str]) -> Listener {
    Listener {
        slashes: crate::path::Slashes::Keep,
        certificate_fields: None,
        name: "public".into(),
        address: "127.0.0.1:0".parse().unwrap(),
        limits: ListenerLimits {
            connections: 10,
            header_bytes: 65_536,
            headers: 20,
            header_timeout_ms: 1_000,
            idle_timeout_ms: 1_000,
            target_bytes: 64,
            body_timeout_ms: 60_000,
            min_rate_bytes: 240,
            stream_idle_timeout_ms: 300_000,
        },
        trusted_proxies: trusted
            .iter()
            .map(|range| Cidr::parse(range).unwrap())
            .collect(),
        forwarding_fields: ForwardingField::USUAL.into(),
        scheme: "http",
        http2: false,
        proxy_protocol: None,
        hosts: HostTable::default(),
        own_paths: Vec::new(),
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

/// Result of the edge for `GET /` from a trusted proxy. The proxy writes `Forwarded` if `fields`
/// has no other field with the client's address. Otherwise it writes all fields `X-Forwarded-*`.
fn admitted_from_proxy(fields: &[(&str, &str)]) -> Admitted {
    let has = |wanted: &str| fields.iter().any(|(name, _)| *name == wanted);
    match has("forwarded") && !has("x-forwarded-for") {
        true => admitted_by(&[ForwardingField::Forwarded], fields),
        false => admitted_by(&ForwardingField::ALL[..5], fields),
    }
}

/// Result of the edge for `GET /` from a trusted proxy that writes these forwarding fields.
fn admitted_by(written: &[ForwardingField], fields: &[(&str, &str)]) -> Admitted {
    let listener = Listener {
        forwarding_fields: written.into(),
        ..listener(&["10.0.0.0/8"])
    };
    let parts = request("GET", "/", fields);
    let peer = "10.0.0.1".parse().unwrap();
    let client = client_address(&parts.headers, &listener, peer);
    let admitted = admit(parts, &listener, peer).unwrap();
    assert_eq!(client, admitted.client);
    admitted
}

#[test]
fn ambiguous_heads_are_refused() {
    let host = ("host", "h");
    type Case<'a> = (&'a str, &'a str, &'a [(&'a str, &'a str)], &'a str);
    let cases: &[Case<'_>] = &[
        ("GET", "/", &[host], "ok"),
        ("GET", "/", &[], "host_invalid"),
        ("GET", "/", &[host, host], "host_invalid"),
        ("GET", "/", &[("host", "a b")], "host_invalid"),
        ("GET", "/", &[("host", "a,b")], "host_invalid"),
        ("GET", "/", &[("host", "u@h")], "host_invalid"),
        ("GET", "/", &[("host", "h;x")], "host_invalid"),
        ("GET", "/", &[("host", "h~x")], "host_invalid"),
        ("GET", "/", &[("host", "a_b-c.h")], "ok"),
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
        ("GET", "http://h;x/", &[host], "host_invalid"),
        ("GET", "ftp://h/", &[host], "target_invalid"),
        ("CONNECT", "h:443", &[host], "connect_refused"),
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
fn hop_fields_and_gateway_fields_are_removed() {
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
    assert_eq!(admitted.lookalikes, 2, "x_forwarded.for, x_consumer_id");
}

#[test]
fn hops_before_a_malformed_one_are_not_believed() {
    let client = |fields: &[(&str, &str)]| {
        let fields = [&[("host", "h")], fields].concat();
        admitted_from_proxy(&fields).client.to_string()
    };
    let older = |text| client(&[("x-forwarded-for", text)]);
    assert_eq!(older("garbage"), "10.0.0.1");
    assert_eq!(older("203.0.113.9, <x>, 10.1.1.1"), "10.1.1.1");
    assert_eq!(older("203.0.113.9, , 10.1.1.1"), "10.1.1.1");
    assert_eq!(older("<x>, 203.0.113.9"), "203.0.113.9");
    assert_eq!(older("203.0.113.9, unknown, 10.1.1.1"), "10.1.1.1");
    let newer = "for=198.51.100.7";
    let both = |text| client(&[("x-forwarded-for", text), ("forwarded", newer)]);
    assert_eq!(both("203.0.113.9"), "203.0.113.9");
    assert_eq!(both("garbage"), "10.0.0.1");
    let only = |text| client(&[("forwarded", text)]);
    assert_eq!(only("for=198.51.100.7, for=x:y, for=10.1.1.1"), "10.1.1.1");
}

/// Spellings of a name in which each `-` may be `_` or `.`.
fn spellings(name: &str) -> Vec<String> {
    name.split('-').fold(Vec::new(), |begun, part| {
        if begun.is_empty() {
            return vec![part.to_owned()];
        }
        let longer = |start: &String| ["-", "_", "."].map(|dash| format!("{start}{dash}{part}"));
        begun.iter().flat_map(longer).collect()
    })
}

/// Checks that a condition on a field is refused exactly if the edge removes the field from a
/// client's request.
#[test]
fn fields_that_the_edge_removes_are_no_conditions() {
    let others = [
        "accept-language",
        "content-length",
        "content-type",
        "forwarded",
        "traceparent",
        "x-consumer-name",
        "x-forwarded-host",
        "x-gateway-attempt",
        "x-request-id",
        "x-version",
    ];
    let names = managed::OF_CONNECTION.iter().chain(&managed::CERTIFICATE);
    let names = names.chain(&managed::CERTIFICATE_PREFIXES);
    let names = names.chain(&PROXY_FIELDS).chain(&others);
    for name in names.flat_map(|name| spellings(name)) {
        let fields = [("host", "h"), (&*name, "1")];
        let head = admit(
            request("GET", "/", &fields),
            &listener(&[]),
            "10.0.0.1".parse().unwrap(),
        );
        let is_left = head.is_ok_and(|admitted| admitted.head.headers.contains_key(&*name));
        assert_eq!(managed::is_removed(&name), !is_left, "{name}");
    }
    assert!(managed::is_removed("content.length") && managed::is_removed("content_length"));
    assert!(!managed::is_removed("content-length"));
}

/// Header fields in which proxies write the certificate of a client. Upstreams trust these fields.
#[test]
fn certificates_of_clients_are_removed_or_passed() {
    let names = [
        "client-cert",
        "cf-client-cert-sha256",
        "ssl-client-cert",
        "ssl-client-verify",
        "ssl-client-subject-dn",
        "wl-proxy-client-cert",
        "x-amzn-mtls-clientcert-leaf",
        "x-arr-clientcert",
        "x-client-cert",
        "x-client-certificate",
        "x-forwarded-client-cert",
        "x-ssl-cert",
        "x-ssl-client-s-dn",
    ];
    let passing = Listener {
        certificate_fields: Some(CertificateFields::Pass),
        ..listener(&["10.0.0.0/8"])
    };
    for name in names {
        let lookalike = name.replacen('-', "_", 1);
        let fields = [("host", "h"), (name, "1"), (&*lookalike, "2")];
        for (listener, peer, is_left) in [
            (&listener(&[]), "10.0.0.1", false),
            (&listener(&["10.0.0.0/8"]), "10.0.0.1", false),
            (&passing, "192.0.2.1", false),
            (&passing, "10.0.0.1", true),
        ] {
            let peer = peer.parse().unwrap();
            let admitted = admit(request("GET", "/", &fields), listener, peer).unwrap();
            let expected = is_left.then_some(name);
            assert_eq!(left(&admitted), Vec::from_iter(expected), "{name}");
        }
    }
}

#[test]
fn hops_of_the_gateway_leave_an_upstreams_via() {
    let left = |text: &str| {
        let left = foreign_hops(&HeaderValue::from_str(text).unwrap());
        left.map(|left| left.to_str().unwrap().to_owned())
    };
    assert_eq!(left("1.1 gwd"), None);
    assert_eq!(left("1.1 GWD (x), HTTP/2 gwd").as_deref(), None);
    assert_eq!(left("1.1 a, 2 gwd, 1.0 b").as_deref(), Some("1.1 a, 1.0 b"));
    assert_eq!(left("1.1 gwd2").as_deref(), Some("1.1 gwd2"));
}

#[test]
fn client_is_the_last_hop_that_is_not_trusted() {
    let fields = [
        ("host", "h"),
        ("x-forwarded-for", "6.6.6.6, 203.0.113.9"),
        ("x-forwarded-for", "10.1.1.1"),
        ("x-request-id", "abc-1"),
        ("x_real_ip", "6.6.6.6"),
    ];
    let admitted = admitted_from_proxy(&fields);
    assert_eq!(admitted.client, "203.0.113.9".parse::<IpAddr>().unwrap());
    assert_eq!(admitted.request_id.unwrap(), "abc-1");
    assert!(!admitted.head.headers.contains_key("x_real_ip"));
    assert!(admitted.head.headers.contains_key("x-forwarded-for"));
}

#[test]
fn connection_does_not_remove_fields_of_proxies() {
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
    let admitted = admitted_from_proxy(&fields);
    assert_eq!(admitted.client, "203.0.113.9".parse::<IpAddr>().unwrap());
    assert_eq!(admitted.request_id.unwrap(), "abc-1");
    assert_eq!(admitted.head.headers["x-forwarded-proto"], "https");
    assert!(admitted.head.headers.contains_key("via"));
}

#[test]
fn loop_is_detected_in_several_via_lines() {
    let mut fields = vec![("host", "h")];
    fields.extend([("via", "1.1 gwd"); 8]);
    assert_eq!(code("GET", "/", &fields), "ok");
    fields.push(("via", "1.1 gwd"));
    assert_eq!(code("GET", "/", &fields), "loop_detected");
}

#[test]
fn malformed_host_beside_absolute_target_is_refused() {
    let fields = [("host", "a b")];
    assert_eq!(code("GET", "http://h/", &fields), "host_invalid");
}

#[test]
fn empty_path_of_a_uri_is_a_slash() {
    for (target, normal) in [
        ("http://h", "/"),
        ("http://h?a=b", "/?a=b"),
        ("http://h/?a", "/?a"),
    ] {
        let parts = request("GET", target, &[("host", "h")]);
        let admitted = admit(parts, &listener(&[]), "10.0.0.1".parse().unwrap()).unwrap();
        assert_eq!(admitted.head.target, normal);
    }
}

#[test]
fn only_valid_traceparents_are_accepted() {
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
fn trace_context_is_read_from_one_valid_field() {
    let sent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    let mut headers = HeaderMap::new();
    assert_eq!(trace_parent(&headers), None);
    headers.append("traceparent", HeaderValue::from_static(sent));
    let read = trace_parent(&headers).unwrap();
    assert_eq!(
        u128::from_be_bytes(read.trace_id),
        0x4bf9_2f35_77b3_4da6_a3ce_929d_0e0e_4736
    );
    assert_eq!(u64::from_be_bytes(read.parent_id), 0x00f0_67aa_0ba9_02b7);
    assert_eq!(read.flags, 1);
    headers.append("traceparent", HeaderValue::from_static(sent));
    assert_eq!(trace_parent(&headers), None, "two fields are invalid");
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

/// Policies and the upstream must read the authority for which the request is routed (RFC 9112
/// §3.2.2, RFC 9113 §8.3.1).
#[test]
fn host_field_is_the_effective_authority() {
    let other = ("host", "other.example");
    type Case<'a> = (Version, &'a str, &'a [(&'a str, &'a str)], &'a str);
    let cases: &[Case<'_>] = &[
        (
            Version::HTTP_11,
            "/",
            &[("host", "Shop.example:81")],
            "Shop.example:81",
        ),
        (
            Version::HTTP_11,
            "http://Shop.example:81/",
            &[other],
            "Shop.example:81",
        ),
        (
            Version::HTTP_2,
            "https://shop.example:81/",
            &[],
            "shop.example:81",
        ),
        (
            Version::HTTP_2,
            "https://shop.example/",
            &[("host", "SHOP.example")],
            "shop.example",
        ),
    ];
    for (version, target, fields, expected) in cases {
        let mut parts = request("GET", target, fields);
        parts.version = *version;
        let peer = "10.0.0.1".parse().unwrap();
        let admitted = admit(parts, &listener(&[]), peer).unwrap();
        let lines: Vec<_> = admitted.head.headers.get_all(header::HOST).iter().collect();
        assert_eq!(lines, [expected], "{version:?} {target}");
        assert_eq!(admitted.authority, *expected);
        assert_eq!(&*admitted.head.host, "shop.example");
    }
}

/// Result of the edge for a head over HTTP/2.
fn over_http2(fields: &[(&str, &str)]) -> Result<Admitted, &'static Reject> {
    let mut parts = request("POST", "http://h/", fields);
    parts.version = Version::HTTP_2;
    admit(parts, &listener(&[]), "10.0.0.1".parse().unwrap())
}

#[test]
fn http_2_values_have_no_white_space_around_them() {
    let code = |value| {
        let admitted = over_http2(&[("x-a", value)]);
        admitted.map_or_else(|reject| reject.code, |_| "ok")
    };
    assert_eq!(code("a b"), "ok");
    assert_eq!(code(""), "ok");
    for value in [" a", "a ", "\ta", "a\t", " "] {
        assert_eq!(code(value), "field_invalid", "{value:?}");
    }
}

#[test]
fn only_equal_content_lengths_are_merged() {
    let same = over_http2(&[("content-length", "5"), ("content-length", "5")]).unwrap();
    let lengths = same.head.headers.get_all("content-length");
    assert_eq!(lengths.iter().collect::<Vec<_>>(), ["5"]);
    let fields = [("content-length", "5"), ("content-length", "6")];
    assert_eq!(over_http2(&fields).unwrap_err().code, "framing_invalid");
    let fields = [("content-length", "5"), ("content-length", "05")];
    assert_eq!(over_http2(&fields).unwrap_err().code, "framing_invalid");
}

#[test]
fn te_is_reduced_to_trailers() {
    let te = |values: &[&str]| {
        let mut fields = vec![("host", "h")];
        fields.extend(values.iter().map(|value| ("te", *value)));
        let parts = request("GET", "/", &fields);
        let admitted = admit(parts, &listener(&[]), "10.0.0.1".parse().unwrap()).unwrap();
        let lines = admitted.head.headers.get_all("te");
        let lines = lines.iter().map(|line| line.to_str().unwrap().to_owned());
        lines.collect::<Vec<_>>().join("|")
    };
    assert_eq!(te(&["trailers"]), "trailers");
    assert_eq!(te(&["gzip;q=0.5, Trailers"]), "trailers");
    assert_eq!(te(&["gzip", "trailers"]), "trailers");
    assert_eq!(te(&["gzip"]), "");
    assert_eq!(te(&["trailersx"]), "");
}

#[test]
fn only_allowed_trailers_are_announced_and_passed() {
    let value = |text| HeaderValue::from_str(text).unwrap();
    let trailer =
        |text| announced(&value(text), &[]).map(|value| value.to_str().unwrap().to_owned());
    assert_eq!(
        trailer("X-Sum, Content-Length, grpc-status").unwrap(),
        "x-sum, grpc-status"
    );
    assert_eq!(trailer("Transfer-Encoding, host , ,"), None);
    let mut fields = HeaderMap::new();
    let names = [
        "x-sum",
        "content-length",
        "transfer-encoding",
        "connection",
        "host",
        "authorization",
        "set-cookie",
        "x-forwarded-for",
        "x_forwarded.for",
        "forwarded",
        "x-consumer-name",
        "x-gateway-attempt",
        "x-request-id",
        "client-cert",
        "client_cert_chain",
        "x-forwarded-client-cert",
        "x-shop-key",
        "x_shop_key",
        "x~shop~key",
        "x|forwarded~for",
        "cookie",
        "origin",
        "sec-fetch-mode",
        "x-http-method-override",
    ];
    for name in names {
        fields.insert(HeaderName::from_bytes(name.as_bytes()).unwrap(), value("1"));
    }
    let key = HeaderName::from_static("x-shop-key");
    trailers(&mut fields, &[key]);
    let left: Vec<&str> = fields.keys().map(HeaderName::as_str).collect();
    assert_eq!(left, ["x-sum"]);
}

/// Names of the fields of an admitted request other than `Host`, sorted.
fn left(admitted: &Admitted) -> Vec<&str> {
    let names = admitted.head.headers.keys().map(HeaderName::as_str);
    let mut names: Vec<&str> = names.filter(|name| *name != "host").collect();
    names.sort_unstable();
    names
}

#[test]
fn lookalikes_of_framing_and_hop_fields_are_dropped() {
    let names = [
        "transfer_encoding",
        "content.length",
        "content_length",
        "content~length",
        "transfer'encoding",
        "keep_alive",
        "proxy_connection",
        "proxy_authenticate",
        "proxy.authorization",
        "http2_settings",
        "content_type",
        "content.encoding",
    ];
    let kept = [
        "content_location",
        "x_transfer_encoding",
        "transferrencoding",
    ];
    let fields: Vec<(&str, &str)> = names.iter().chain(&kept).map(|name| (*name, "1")).collect();
    let fields = [&[("host", "h")], &fields[..]].concat();
    let admitted = admitted_from_proxy(&fields);
    let mut expected = kept;
    expected.sort_unstable();
    assert_eq!(left(&admitted), expected);
    assert_eq!(admitted.lookalikes as usize, names.len());
    let mut trailing: HeaderMap = names
        .iter()
        .map(|name| (HeaderName::from_static(name), HeaderValue::from_static("1")))
        .collect();
    trailers(&mut trailing, &[]);
    assert!(trailing.is_empty(), "{trailing:?}");
}

#[test]
fn forwarding_fields_of_any_name_need_a_trusted_peer() {
    let fields = [
        ("host", "h"),
        ("x-forwarded-uri", "/admin"),
        ("x-forwarded-user", "root"),
        ("x_forwarded_scheme", "https"),
    ];
    let peer = "10.0.0.1".parse().unwrap();
    let foreign = admit(request("GET", "/", &fields), &listener(&[]), peer).unwrap();
    assert_eq!(left(&foreign), [""; 0]);
    assert_eq!(foreign.lookalikes, 1);
    let trusted = admitted_from_proxy(&fields);
    assert_eq!(left(&trusted), ["x-forwarded-uri", "x-forwarded-user"]);
}
