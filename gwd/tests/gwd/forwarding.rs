//! Forwarded requests and their responses.

use std::io::Write as _;

use crate::fixture::*;
use crate::frames::{self, DATA, END, END_HEADERS, HEADERS, Raw};
use crate::http2::http2;

#[test]
fn a_request_and_its_response_pass_through() {
    let upstream = Upstream::saying("hello\n");
    let served = shop(upstream.address, vec![op("GET", "/orders/{id}")]).serve();
    let answer = get(served.address, "/orders/7?full=1");
    assert_eq!((answer.status, answer.text()), (200, "hello\n"));
    assert_eq!(answer.field("content-length"), ["6"]);
    assert_eq!(answer.field("date").len(), 1);
    let seen = upstream.only();
    assert_eq!(seen.line(), "GET /orders/7?full=1 HTTP/1.1");
    assert_eq!(seen.field("host"), ["shop.example"]);
    assert_eq!(seen.field("x-forwarded-for"), ["127.0.0.1"]);
    assert_eq!(seen.field("x-forwarded-proto"), ["http"]);
    assert_eq!(seen.field("x-forwarded-host"), ["shop.example"]);
    assert_eq!(seen.field("x-forwarded-port"), ["80"]);
    assert_eq!(seen.field("via"), ["1.1 gwd"]);
    let [id] = seen.field("x-request-id")[..] else {
        panic!("{seen:?}")
    };
    assert_eq!(answer.field("x-request-id"), [id]);
    assert_eq!((id.len(), id.as_bytes()[14]), (36, b'7'), "UUIDv7: {id}");
}

#[test]
fn bodies_stream_in_both_directions() {
    let (proceed, wait) = gate();
    let upstream = Upstream::start(move |seen, stream| {
        say(stream, "transfer-encoding: chunked\r\n", "");
        let _gone = stream.write_all(b"5\r\nfirst\r\n");
        wait.lock().unwrap().recv().unwrap();
        let size = seen.body.len();
        let _gone = write!(stream, "{size:x}\r\n");
        let _gone = stream.write_all(&seen.body);
        let _gone = stream.write_all(b"\r\n0\r\n\r\n");
        Then::Keep
    });
    let served = shop(upstream.address, vec![op("POST", "/orders")]).serve();
    let mut client = Client::connect(served.address);
    client
        .send("POST /orders HTTP/1.1\r\nhost: h\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n");
    client.send("4\r\ndefg\r\n0\r\n\r\n");
    let head = client.head();
    assert!(head.contains("transfer-encoding: chunked"), "{head}");
    assert_eq!(
        client.some(10),
        "5\r\nfirst\r\n",
        "before the upstream has ended"
    );
    proceed.send(()).unwrap();
    assert_eq!(client.some(17), "7\r\nabcdefg\r\n0\r\n\r\n");
    assert_eq!(upstream.only().body, b"abcdefg");
}

#[test]
fn upstream_cannot_speak_for_the_gateway() {
    let upstream = Upstream::start(|_, stream| {
        let fields = "proxy-status: gwd; error=dns_error\r\nproxy_status: a\r\n\
                      x-gateway-bundle: fake\r\nx_gateway_bundle: fake\r\nx.gateway.any: fake\r\n\
                      x-request-id: fake\r\nx_request_id: fake\r\n\
                      store-outage: fake\r\nstore_outage: fake\r\nratelimit: mine\r\n\
                      x-gatewayish: mine\r\nproxy-statuses: mine\r\n";
        say(
            stream,
            &format!("{fields}transfer-encoding: chunked\r\n"),
            "2\r\nok\r\n0\r\nx-gateway-end: fake\r\nproxy-status: fake\r\nstore-outage: fake\r\nx-sum: mine\r\n\r\n",
        );
        Then::Keep
    });
    let mut shop = shop(upstream.address, vec![op("GET", "/a")]);
    shop.expose_bundle = true;
    let served = shop.serve();
    let mut client = Client::connect(served.address);
    client.send("GET /a HTTP/1.1\r\nhost: h\r\nte: trailers\r\nconnection: te, close\r\n\r\n");
    let answer = client.rest();
    assert!(
        !answer.contains("fake") && !answer.contains("dns_error"),
        "{answer}"
    );
    assert!(!answer.to_lowercase().contains("proxy_status"), "{answer}");
    assert_eq!(answer.to_lowercase().matches("x-request-id:").count(), 1);
    assert_eq!(
        answer.to_lowercase().matches("x-gateway-bundle:").count(),
        1
    );
    assert!(answer.contains("x-gatewayish: mine"), "{answer}");
    assert!(answer.contains("proxy-statuses: mine"), "{answer}");
    assert!(answer.contains("ratelimit: mine"), "{answer}");
}

/// Trailers that a client sends: those that must be removed, and those that are forwarded.
const TRAILERS: [(&str, &str); 14] = [
    ("authorization", "Bearer forged"),
    ("client-cert", ":AAAA:"),
    ("content-length", "0"),
    ("cookie", "a=forged"),
    ("forwarded", "for=192.0.2.1"),
    ("host", "forged.example"),
    ("origin", "https://forged.example"),
    ("sec-fetch-site", "same-origin"),
    ("x-consumer-name", "forged"),
    ("x-forwarded-for", "192.0.2.1"),
    ("x-http-method-override", "DELETE"),
    ("x-key", "forged"),
    ("x_key", "forged"),
    ("x-sum", "5"),
];

const ANNOUNCED: &str = "x-key, Authorization, X-Sum, X_Consumer_Name";

#[test]
fn trailers_carry_no_credentials_upstream() {
    let upstream = Upstream::saying("ok");
    let served = http2(shop(
        upstream.address,
        vec![op("POST", "/a").secured("key")],
    ))
    .serve();
    let mut client = Client::connect(served.address);
    let lines = TRAILERS.map(|(name, value)| format!("{name}: {value}\r\n"));
    client.send(&format!(
        "POST /a HTTP/1.1\r\nhost: h\r\nx-key: letmein\r\ntrailer: {ANNOUNCED}\r\n\
         transfer-encoding: chunked\r\n\r\n2\r\nab\r\n0\r\n{}\r\n",
        lines.concat()
    ));
    assert_eq!(client.answer().status, 200);
    let mut raw = Raw::connect(served.address);
    let more = [("x-key", "letmein"), ("trailer", ANNOUNCED)];
    let head = frames::request("POST", &more);
    raw.send(&frames::frame(HEADERS, END_HEADERS, 1, &head));
    raw.send(&frames::frame(DATA, 0, 1, b"ab"));
    let trailers = frames::fields(&TRAILERS);
    raw.send(&frames::frame(HEADERS, END | END_HEADERS, 1, &trailers));
    let answered = std::iter::from_fn(|| raw.next()).find(|frame| frame.kind == HEADERS);
    assert_eq!(answered.map(|frame| frame.status()), Some(200));
    for seen in upstream.seen() {
        assert_eq!((seen.line(), &*seen.body), ("POST /a HTTP/1.1", &b"ab"[..]));
        assert_eq!(seen.trailers, "x-sum: 5\r\n", "{seen:?}");
        assert_eq!(seen.field("trailer"), ["x-sum"], "{seen:?}");
    }
    assert_eq!(upstream.seen().len(), 2);
}

#[test]
fn edited_fields_come_in_no_trailer() {
    let upstream = Upstream::start(|_, stream| {
        let _gone = stream.write_all(
            b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\ntrailer: x-edge, x-own\r\n\r\n\
              2\r\nok\r\n0\r\nx-edge: leak\r\nx-own: 1\r\n\r\n",
        );
        Then::Close
    });
    let mut shop = shop(upstream.address, vec![op("POST", "/a").policy("edits")]);
    shop.policies = vec![edits("edits")];
    let served = shop.serve();
    let mut client = Client::connect(served.address);
    client.send(
        "POST /a HTTP/1.1\r\nhost: h\r\nconnection: close, te\r\nte: trailers\r\nx_edge: forged\r\n\
         x.edge: forged\r\ntrailer: x-edge, x-own\r\ntransfer-encoding: chunked\r\n\r\n\
         2\r\nab\r\n0\r\nx-edge: forged\r\nx_edge: forged\r\nx-own: 1\r\n\r\n",
    );
    let whole = client.rest();
    assert!(whole.contains("x-own: 1"), "{whole}");
    assert!(!whole.contains("leak"), "{whole}");
    let seen = upstream.only();
    assert_eq!(seen.trailers, "x-own: 1\r\n", "{seen:?}");
    assert_eq!(seen.field("x-edge").len(), 1, "{seen:?}");
    assert!(seen.field("x_edge").is_empty() && seen.field("x.edge").is_empty());
}

#[test]
fn upstream_via_cannot_name_the_gateway() {
    let upstream = Upstream::start(|_, stream| {
        let via = "via: 1.1 gwd, 1.1 other\r\nvia: 2 GWD (a)\r\n";
        say(stream, &format!("{via}content-length: 2\r\n"), "ok");
        Then::Keep
    });
    let served = shop(upstream.address, vec![op("GET", "/a")]).serve();
    assert_eq!(get(served.address, "/a").field("via"), ["1.1 other"]);
}

#[test]
fn connection_cannot_remove_fields_before_checks() {
    let upstream = Upstream::saying("ok");
    let served = shop(upstream.address, vec![op("GET", "/a")]).serve();
    let fields = "connection: Origin, Cookie, Authorization, Sec-Fetch-Site, X-Hop\r\n\
                  origin: https://a.example\r\ncookie: a=b\r\nauthorization: Bearer t\r\n\
                  sec-fetch-site: cross-site\r\nx-hop: 1\r\n";
    assert_eq!(fetch(served.address, "GET", "/a", fields).status, 200);
    let seen = upstream.only();
    assert_eq!(seen.field("origin"), ["https://a.example"]);
    assert_eq!(seen.field("cookie"), ["a=b"]);
    assert_eq!(seen.field("authorization"), ["Bearer t"]);
    assert_eq!(seen.field("sec-fetch-site"), ["cross-site"]);
    assert_eq!(
        (seen.field("x-hop").len(), seen.field("connection").len()),
        (0, 0)
    );
}
