//! Tests of which elements and fields of trusted proxies are used.

use super::*;

/// A byte beyond ASCII in the client's element does not hide the proxy's element.
#[test]
fn unreadable_elements_do_not_hide_others() {
    for (line, expected) in [
        (&b"\xe9, 1.1.1.1"[..], "1.1.1.1"),
        (b"8.8.8.8, \xe9, 1.1.1.1", "1.1.1.1"),
        (b"1.1.1.1, \xe9", "10.0.0.1"),
        (b"\xe9", "10.0.0.1"),
    ] {
        let mut parts = request(
            "GET",
            "/",
            &[("host", "h"), ("forwarded", "for=8.8.8.8;host=a")],
        );
        let fields = &mut parts.headers;
        fields.append("x-forwarded-for", HeaderValue::from_bytes(line).unwrap());
        fields.append("x-forwarded-host", HeaderValue::from_static("evil"));
        let appended = HeaderValue::from_bytes(b"\xe9, \", b").unwrap();
        fields.append("x-forwarded-host", appended);
        let peer = "10.0.0.1".parse().unwrap();
        let listener = Listener {
            forwarding_fields: ForwardingField::ALL[..5].into(),
            ..listener(&["10.0.0.0/8"])
        };
        let admitted = admit(parts, &listener, peer).unwrap();
        assert_eq!(admitted.client.to_string(), expected);
        let headers = &admitted.head.headers;
        let reported_origin = reported_origin::ReportedOrigin::of(headers);
        assert_eq!(headers["x-forwarded-host"], "b", "{expected}");
        assert_eq!(reported_origin.host.unwrap(), "b", "{expected}");
    }
}

/// The elements that a client sent in a list are not used, because the proxy appends to the list.
#[test]
fn elements_of_the_client_are_not_trusted() {
    let cases: [(&[(&str, &str)], &str); 6] = [
        (
            &[(
                "forwarded",
                "for=8.8.8.8;host=a;proto=https, for=1.1.1.1;host=b;proto=http",
            )],
            "1.1.1.1 http b forwarded=for=8.8.8.8, for=1.1.1.1;host=b;proto=http",
        ),
        (
            &[
                ("x-forwarded-for", "8.8.8.8, 1.1.1.1"),
                ("x-forwarded-host", "a, b"),
                ("x-forwarded-proto", "https"),
                ("x-forwarded-proto", "http"),
            ],
            "1.1.1.1 http b",
        ),
        // Two trusted proxies: the value of the proxy nearest to the client is used.
        (
            &[
                ("x-forwarded-for", "8.8.8.8, 1.1.1.1, 10.0.0.2"),
                ("x-forwarded-host", "a, b, c"),
                ("x-forwarded-proto", "https"),
            ],
            "1.1.1.1 https b",
        ),
        (&[("x-forwarded-host", "b")], "10.0.0.1 - b"),
        // The proxy writes only `X-Forwarded-*`. `Forwarded` comes from the client and is removed.
        (
            &[
                ("x-forwarded-for", "1.1.1.1"),
                ("forwarded", "for=1.1.1.1;host=a;proto=https"),
            ],
            "1.1.1.1 - -",
        ),
        (
            &[("forwarded", "for=8.8.8.8;host=a, for=1.1.1.1;host=<")],
            "1.1.1.1 - - forwarded=for=8.8.8.8, for=1.1.1.1;host=<",
        ),
    ];
    for (fields, expected) in cases {
        let admitted = admitted_from_proxy(&[&[("host", "h")], fields].concat());
        let headers = &admitted.head.headers;
        let found = reported_origin::ReportedOrigin::of(headers);
        let host = found
            .host
            .as_ref()
            .map_or("-", |host| host.to_str().unwrap());
        let proto = found.proto.unwrap_or("-");
        let mut seen = format!("{} {proto} {host}", admitted.client);
        if let Some(forwarded) = headers.get("forwarded") {
            seen += &format!(" forwarded={}", forwarded.to_str().unwrap());
        }
        assert_eq!(seen, expected);
    }
}

#[test]
fn forwarded_names_the_client_if_the_proxies_write_it() {
    let client = |fields: &[(&str, &str)]| {
        let mut all = vec![("host", "h")];
        all.extend(fields);
        let parts = request("GET", "/", &all);
        let listener = Listener {
            forwarding_fields: [ForwardingField::Forwarded].into(),
            ..listener(&["10.0.0.0/8", "2001:db8::/32"])
        };
        let peer = "10.0.0.1".parse().unwrap();
        let address = client_address(&parts.headers, &listener, peer);
        let admitted = admit(parts, &listener, peer).unwrap();
        assert_eq!(address, admitted.client);
        address.to_string()
    };
    let forwarded = |value| client(&[("forwarded", value)]);
    assert_eq!(forwarded("for=203.0.113.9"), "203.0.113.9");
    assert_eq!(
        forwarded("for=6.6.6.6, For=\"203.0.113.9:99\";by=10.1.1.1, for=10.9.9.9"),
        "203.0.113.9"
    );
    assert_eq!(
        forwarded("proto=http;for=\"[2001:db9::1]:99\""),
        "2001:db9::1"
    );
    assert_eq!(
        forwarded("for=203.0.113.9, for=\"[2001:db8::1]\""),
        "203.0.113.9"
    );
    // `unknown` stops the search for the client: earlier hops are not used.
    assert_eq!(
        forwarded("for=203.0.113.9, for=unknown, for=10.2.2.2"),
        "10.2.2.2"
    );
    assert_eq!(forwarded("for=203.0.113.9, proto=http"), "10.0.0.1");
    // An unclosed quotation mark hides no later element.
    assert_eq!(forwarded("for=\"6.6.6.6, for=7.7.7.7"), "7.7.7.7");
    assert_eq!(forwarded("for=6.6.6.6;a=\", for=7.7.7.7"), "7.7.7.7");
    assert_eq!(
        forwarded("for=6.6.6.6;a=\"\\, for=\"[2001:db9::1]\""),
        "2001:db9::1"
    );
    // A comma inside quotes does not end an element.
    assert_eq!(
        forwarded("for=203.0.113.9;host=\"a, for=6.6.6.6\""),
        "203.0.113.9"
    );
}

/// A proxy that writes only one kind of forwarding fields forwards the client's fields of the other
/// kind.
#[test]
fn fields_that_the_proxies_do_not_write_are_removed() {
    let fields = [
        ("host", "h"),
        ("forwarded", "for=203.0.113.9;host=new;proto=https"),
        ("x-forwarded-for", "198.51.100.7:4711"),
        ("x-forwarded-host", "old"),
        ("x-forwarded-port", "99"),
        ("x-forwarded-prefix", "/old"),
        ("x-forwarded-proto", "http"),
    ];
    for (written, client, host, names) in [
        (
            &ForwardingField::USUAL[..],
            "198.51.100.7",
            "-",
            "x-forwarded-for x-forwarded-proto",
        ),
        (
            &[
                ForwardingField::XForwardedFor,
                ForwardingField::XForwardedHost,
            ],
            "198.51.100.7",
            "old",
            "x-forwarded-for x-forwarded-host",
        ),
        (
            &[ForwardingField::Forwarded],
            "203.0.113.9",
            "new",
            "forwarded",
        ),
    ] {
        let admitted = admitted_by(written, &fields);
        assert_eq!(admitted.client.to_string(), client);
        let reported_origin = reported_origin::ReportedOrigin::of(&admitted.head.headers);
        let reported_origin = reported_origin.host.as_ref();
        assert_eq!(
            reported_origin.map_or("-", |host| host.to_str().unwrap()),
            host
        );
        assert_eq!(left(&admitted).join(" "), names);
        // Without the fields of the proxies, the peer is the client.
        let without = |name: &str| written.iter().all(|field| field.name() != name);
        let fewer = fields.into_iter().filter(|(name, _)| without(name));
        let fewer: Vec<_> = fewer.collect();
        assert_eq!(admitted_by(written, &fewer).client.to_string(), "10.0.0.1");
    }
    // If the proxies' field is malformed, the client's field of the other kind is still not used.
    let fields = [
        ("host", "h"),
        ("forwarded", "for=203.0.113.9"),
        ("x-forwarded-for", "garbage"),
    ];
    let admitted = admitted_by(&ForwardingField::USUAL, &fields);
    assert_eq!(admitted.client.to_string(), "10.0.0.1");
}
