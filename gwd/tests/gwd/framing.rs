//! Request heads and bodies that two servers could interpret differently, and the `Connection`
//! field.

use std::io::Write as _;

use crate::fixture::*;

fn plain() -> (Upstream, Served) {
    let upstream = Upstream::echoing();
    let ops = vec![op("GET", "/a").prefix(), op("POST", "/a").prefix()];
    let served = shop(upstream.address, ops).serve();
    (upstream, served)
}

#[test]
fn ambiguous_framing_is_400_and_closes() {
    let (upstream, served) = plain();
    let cases = [
        "POST /a HTTP/1.1\r\nhost: h\r\ncontent-length: 5\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
        "POST /a HTTP/1.1\r\nhost: h\r\ntransfer-encoding: chunked\r\ncontent-length: 5\r\n\r\n0\r\n\r\n",
        "POST /a HTTP/1.1\r\nhost: h\r\ncontent-length: 5\r\ncontent-length: 6\r\n\r\nabcde",
        "POST /a HTTP/1.1\r\nhost: h\r\ncontent-length: +5\r\n\r\nabcde",
        "POST /a HTTP/1.1\r\nhost: h\r\ncontent-length: 5, 5\r\n\r\nabcde",
        "POST /a HTTP/1.1\r\nhost: h\r\ntransfer-encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
        "POST /a HTTP/1.1\r\nhost: h\r\ntransfer-encoding: chunked\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
        "POST /a HTTP/1.1\r\nhost: h\r\ntransfer-encoding: xchunked\r\n\r\n0\r\n\r\n",
        "POST /a HTTP/1.0\r\nhost: h\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
        "GET /a HTTP/1.1\nhost: h\r\n\r\n",
        "GET /a HTTP/1.1\r\nhost: h\nx: y\r\n\r\n",
        "GET /a HTTP/1.1\r\nhost : h\r\n\r\n",
        "GET /a HTTP/1.1\r\nhost: h\r\nx: a\r\n b\r\n\r\n",
        "GET /a HTTP/1.1\r\nhost: h\r\nx: a\rb\r\n\r\n",
        "GET /a HTTP/1.1\r\nhost: h\r\nx\0y: a\r\n\r\n",
    ];
    for case in cases {
        let mut client = Client::connect(served.address);
        client.send(case);
        client.send("GET /a/smuggled HTTP/1.1\r\nhost: h\r\n\r\n");
        let rest = client.rest();
        assert!(rest.starts_with("HTTP/1.1 400 "), "{case:?}: {rest}");
        assert_eq!(rest.matches("HTTP/1.1 ").count(), 1, "{case:?}: {rest}");
    }
    assert!(upstream.seen().is_empty(), "{:?}", upstream.seen());
    eventually("all rejections are counted", || {
        let count = |reason| served.metric("gwd_rejections_total", &[reason]);
        count("framing_invalid") + count("head_invalid") == cases.len() as f64
    });
}

#[test]
fn bad_chunk_line_ends_request_and_connection() {
    let (_upstream, served) = plain();
    for chunk in [
        "3\nabc\r\n0\r\n\r\n",
        "3;a=\u{1}\r\nabc\r\n0\r\n\r\n",
        "zz\r\n",
    ] {
        let mut client = Client::connect(served.address);
        client.send("POST /a HTTP/1.1\r\nhost: h\r\ntransfer-encoding: chunked\r\n\r\n");
        client.send(chunk);
        let rest = client.rest();
        assert!(!rest.contains(" 200 "), "{chunk:?}: {rest}");
    }
}

#[test]
fn exactly_one_valid_host_is_needed() {
    let (_upstream, served) = plain();
    for host in [
        "",
        "host: a\r\nhost: b\r\n",
        "host: a b\r\n",
        "host: u@h\r\n",
        "host: h:0\r\n",
    ] {
        let mut client = Client::connect(served.address);
        client.send(&format!("GET /a HTTP/1.1\r\n{host}\r\n"));
        let answer = client.answer();
        assert_eq!(
            (answer.status, answer.problem().as_str()),
            (400, "host_invalid"),
            "{host:?}"
        );
        assert_eq!(answer.field("connection"), ["close"]);
        assert!(client.closed());
    }
    let answer = {
        let mut client = Client::connect(served.address);
        client.send("GET http://other.example/a HTTP/1.1\r\nhost: h\r\n\r\n");
        client.answer()
    };
    assert!(
        answer.text().contains("host: other.example"),
        "{}",
        answer.text()
    );
}

#[test]
fn connect_is_refused_and_closes() {
    let (_upstream, served) = plain();
    let mut client = Client::connect(served.address);
    client.send("CONNECT h:443 HTTP/1.1\r\nhost: h:443\r\n\r\n");
    let answer = client.answer();
    assert_eq!(
        (answer.status, answer.problem().as_str()),
        (405, "connect_refused")
    );
    client.send("GET /a HTTP/1.1\r\nhost: h\r\n\r\n");
    assert!(client.closed());
}

#[test]
fn heads_have_limits() {
    let (_upstream, served) = plain();
    let mut client = Client::connect(served.address);
    client.send(&format!(
        "GET /a?{} HTTP/1.1\r\nhost: h\r\n\r\n",
        "q".repeat(17_000)
    ));
    assert_eq!(client.answer().status, 414);
    let many: String = (0..101).map(|i| format!("x-{i}: v\r\n")).collect();
    let mut client = Client::connect(served.address);
    client.send(&format!("GET /a HTTP/1.1\r\nhost: h\r\n{many}\r\n"));
    assert!(client.rest().starts_with("HTTP/1.1 431 "));
    let mut client = Client::connect(served.address);
    client.send(&format!(
        "GET /a HTTP/1.1\r\nhost: h\r\nx: {}\r\n\r\n",
        "v".repeat(70_000)
    ));
    assert!(client.rest().starts_with("HTTP/1.1 431 "));
}

#[test]
fn fields_about_the_connection_go_no_further() {
    let upstream = Upstream::start(|_, stream| {
        say(
            stream,
            "content-length: 2\r\nconnection: keep-alive, x-secret\r\nx-secret: 1\r\nkeep-alive: timeout=5\r\nserver: acme/1\r\nhttp2-settings: AAMAAABk\r\nx-kept: 1\r\n",
            "ok",
        );
        Then::Keep
    });
    let served = shop(upstream.address, vec![op("GET", "/a")]).serve();
    let answer = fetch(
        served.address,
        "GET",
        "/a",
        "connection: X-Hop, keep-alive\r\nx-hop: 1\r\nkeep-alive: 5\r\nte: gzip\r\nupgrade: h2c\r\n\
         proxy-authorization: Basic x\r\nx-forwarded-for: 6.6.6.6\r\nforwarded: for=6.6.6.6\r\n\
         x-consumer-name: root\r\nx-request-id: mine\r\nx-mine: 1\r\n",
    );
    for gone in [
        "connection",
        "keep-alive",
        "x-secret",
        "server",
        "http2-settings",
        "transfer-encoding",
    ] {
        assert!(answer.field(gone).is_empty(), "{gone}: {}", answer.head);
    }
    assert_eq!(answer.field("x-kept"), ["1"]);
    let seen = upstream.only();
    for gone in [
        "connection",
        "x-hop",
        "keep-alive",
        "te",
        "upgrade",
        "proxy-authorization",
        "x-consumer-name",
    ] {
        assert!(seen.field(gone).is_empty(), "{gone}: {}", seen.head);
    }
    assert_eq!(seen.field("x-mine"), ["1"]);
    assert_eq!(seen.field("x-forwarded-for"), ["127.0.0.1"]);
    let forwarded = ["for=127.0.0.1;host=shop.example;proto=http"];
    assert_eq!(seen.field("forwarded"), forwarded);
    assert_ne!(seen.field("x-request-id"), ["mine"]);
}

#[test]
fn trusted_proxies_are_believed() {
    let upstream = Upstream::echoing();
    let mut shop = shop(upstream.address, vec![op("GET", "/a")]);
    shop.listener.trusted_proxies = vec![bundle::ir::Cidr::parse("127.0.0.0/8").unwrap()];
    let served = shop.serve();
    let fields =
        "x-forwarded-for: 203.0.113.9\r\nx-forwarded-proto: https\r\nx-request-id: theirs-1\r\n";
    let answer = fetch(served.address, "GET", "/a", fields);
    assert_eq!(answer.field("x-request-id"), ["theirs-1"]);
    let seen = upstream.only();
    assert_eq!(seen.field("x-forwarded-for"), ["203.0.113.9, 127.0.0.1"]);
    assert_eq!(seen.field("x-forwarded-proto"), ["https"]);
    assert_eq!(seen.field("x-request-id"), ["theirs-1"]);
}

#[test]
fn matched_path_is_the_forwarded_path() {
    let (upstream, served) = plain();
    let cases = [
        ("/a/./b/../c", "/a/c"),
        ("/x/%2e%2e/a/b", "/a/b"),
        ("/a/%41%2d", "/a/A-"),
        ("/a/caf%c3%a9?q=%41", "/a/caf%C3%A9?q=%41"),
        ("/a/b;v=1,c", "/a/b;v=1,c"),
        ("/a//b", "/a//b"),
    ];
    for (sent, forwarded) in cases {
        assert_eq!(get(served.address, sent).status, 200, "{sent}");
        let seen = upstream.seen();
        let line = seen.last().unwrap().line();
        assert_eq!(line, format!("GET {forwarded} HTTP/1.1"), "{sent}");
    }
    for bad in ["/a/%00", "/a/%zz", "/a/../../b", "/a\\b"] {
        assert_eq!(get(served.address, bad).status, 400, "{bad}");
    }
}

#[test]
fn responses_that_cannot_be_passed_on_are_502() {
    let cases: [(&str, &str); 6] = [
        (
            "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: x\r\n\r\n",
            "upstream_protocol_error",
        ),
        (
            "HTTP/1.1 200 OK\r\ntransfer-encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
            "upstream_protocol_error",
        ),
        (
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\ncontent-length: 5\r\n\r\n0\r\n\r\n",
            "upstream_protocol_error",
        ),
        (
            "HTTP/1.1 200 OK\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\nab",
            "upstream_protocol_error",
        ),
        ("SSH-2.0-OpenSSH\r\n\r\n", "upstream_protocol_error"),
        ("HTTP/1.1 200 OK\r\ncontent-le", "upstream_reset"),
    ];
    for (bytes, code) in cases {
        let upstream = Upstream::start(move |_, stream| {
            let _gone = stream.write_all(bytes.as_bytes());
            Then::Close
        });
        let served = shop(upstream.address, vec![op("GET", "/a")]).serve();
        let answer = get(served.address, "/a");
        assert_eq!(
            (answer.status, answer.problem().as_str()),
            (502, code),
            "{bytes:?}"
        );
    }
}

#[test]
fn early_hints_are_dropped() {
    let upstream = Upstream::start(|_, stream| {
        let _gone = stream.write_all(b"HTTP/1.1 103 Early Hints\r\nlink: </s>\r\n\r\n");
        say(stream, "content-length: 2\r\n", "ok");
        Then::Keep
    });
    let served = shop(upstream.address, vec![op("GET", "/a")]).serve();
    let mut client = Client::connect(served.address);
    client.send("GET /a HTTP/1.1\r\nhost: h\r\n\r\n");
    assert!(client.head().starts_with("HTTP/1.1 200 "));
}
