//! Destinations of requests: split, mirror, rewrite, redirect, deprecation.

use std::net::{SocketAddr, TcpListener};

use bundle::ir;
use minicbor::Encoder;

use crate::fixture::*;

type Bytes = Encoder<Vec<u8>>;

/// A policy with this kind tag, whose settings `write` encodes.
fn policy(name: &str, tag: u8, write: impl FnOnce(&mut Bytes)) -> ir::Policy {
    let mut e = Encoder::new(Vec::new());
    e.array(2).unwrap().u8(tag).unwrap().array(1).unwrap();
    write(&mut e);
    encoded(name, &e.into_writer())
}

/// A `split` policy with these upstreams and weights.
fn split(name: &str, shares: &[(&str, u32)]) -> ir::Policy {
    policy(name, 4, |e| {
        e.map(1).unwrap().u8(0).unwrap();
        e.array(shares.len() as u64).unwrap();
        for (upstream, weight) in shares {
            e.map(3).unwrap();
            e.u8(0).unwrap().str(upstream).unwrap();
            e.u8(1).unwrap().u32(*weight).unwrap();
            e.u8(3).unwrap().bool(true).unwrap();
        }
    })
}

/// A `mirror` policy that copies every request.
pub(crate) fn mirror(name: &str, upstream: &str) -> ir::Policy {
    policy(name, 5, |e| {
        e.map(1).unwrap().u8(0).unwrap().str(upstream).unwrap();
    })
}

/// A `mirror` policy for bodies of at most this length.
fn long_mirror(name: &str, upstream: &str, max_body_bytes: u64) -> ir::Policy {
    policy(name, 5, |e| {
        e.map(2).unwrap().u8(0).unwrap().str(upstream).unwrap();
        e.u8(2).unwrap().u64(max_body_bytes).unwrap();
    })
}

/// A `rewrite` policy of path, method and host.
pub(crate) fn rewrite(name: &str, path: &str, method: &str, host: &str) -> ir::Policy {
    policy(name, 6, |e| {
        e.map(3).unwrap();
        e.u8(0).unwrap().str(path).unwrap();
        e.u8(2).unwrap().str(host).unwrap();
        e.u8(3).unwrap().str(method).unwrap();
    })
}

/// A `redirect` policy that answers 301 with this path.
fn redirect(name: &str, path: &str) -> ir::Policy {
    policy(name, 7, |e| {
        e.map(2).unwrap();
        e.u8(0).unwrap().u16(301).unwrap();
        e.u8(4).unwrap().str(path).unwrap();
    })
}

/// A `deprecation` policy with two dates, in days since 1970.
fn deprecation(name: &str, since: u64, sunset: u64) -> ir::Policy {
    policy(name, 8, |e| {
        e.map(3).unwrap();
        e.u8(0).unwrap().u64(since).unwrap();
        e.u8(1).unwrap().u64(sunset).unwrap();
        e.u8(2).unwrap().str("https://a.test/v2").unwrap();
    })
}

fn keyed(path: &str, address: SocketAddr) -> Answer {
    fetch(address, "GET", path, "x-key: letmein\r\n")
}

#[test]
fn a_split_shares_requests_out_and_a_consumer_stays() {
    let (main, next) = (Upstream::saying("main"), Upstream::saying("next"));
    let open = op("GET", "/open").policy("half");
    let mine = op("GET", "/mine").secured("key").policy("half");
    let mut shop = shop(main.address, vec![open, mine]);
    shop.upstreams.push(service("next", &[next.address]));
    shop.policies
        .push(split("half", &[("main", 1), ("next", 1)]));
    let served = shop.serve();
    let mut counts = [0, 0];
    for _ in 0..80 {
        let answer = get(served.address, "/open");
        counts[usize::from(answer.text() == "next")] += 1;
    }
    // With 80 fair choices, this fails about once in a hundred thousand runs.
    assert!(counts.iter().all(|count| *count > 20), "{counts:?}");
    let first = keyed("/mine", served.address).text().to_owned();
    assert!((0..20).all(|_| keyed("/mine", served.address).text() == first));
}

#[test]
fn split_to_an_unknown_upstream_is_refused() {
    let upstream = Upstream::saying("main");
    let mut shop = shop(upstream.address, vec![op("GET", "/a")]);
    shop.policies
        .push(split("half", &[("main", 1), ("gone", 0)]));
    let mut node = gwd::node::Node::start(settings()).unwrap();
    let assembly = node.parts().assemble(&shop.gateway()).unwrap();
    let refused = node.build(&assembly, bundle::digest::Digest::of(b"one"), &TestSecrets);
    assert!(refused.is_err_and(|refused| refused.to_string().contains("gone")));
}

#[test]
fn mirror_gets_the_body_and_its_response_is_dropped() {
    let (main, shadow) = (Upstream::saying("main"), Upstream::saying("shadow"));
    let mut shop = shop(main.address, vec![op("POST", "/a/{id}").policy("shadow")]);
    shop.upstreams.push(service("next", &[shadow.address]));
    shop.policies.push(mirror("shadow", "next"));
    let served = shop.serve();
    let mut client = Client::connect(served.address);
    client.send("POST /a/7?b=1 HTTP/1.1\r\nhost: h\r\ntransfer-encoding: chunked\r\n\r\n");
    client.send("3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n");
    assert_eq!(client.answer().text(), "main");
    eventually("the mirror gets the copy", || shadow.seen().len() == 1);
    let copy = shadow.only();
    assert_eq!(copy.line(), "POST /a/7?b=1 HTTP/1.1");
    assert_eq!(copy.body, b"abcde");
    assert_eq!(copy.field("content-length"), ["5"]);
    let sent = ["upstream=\"next\"", "outcome=\"sent\""];
    eventually("the copy is counted", || {
        served.metric("gwd_mirrored_requests_total", &sent) == 1.0
    });
}

#[test]
fn hanging_or_dead_mirror_does_not_delay_the_request() {
    let main = Upstream::saying("main");
    let (_proceed, wait) = gate();
    let hanging = Upstream::start(move |_, _| {
        let _ended = wait.lock().unwrap().recv();
        Then::Close
    });
    let dead = dead();
    let both = op("GET", "/a").policy("one").policy("two");
    let mut shop = shop(main.address, vec![both]);
    shop.upstreams.push(service("hanging", &[hanging.address]));
    shop.upstreams.push(service("dead", &[dead]));
    shop.policies.push(mirror("one", "hanging"));
    shop.policies.push(mirror("two", "dead"));
    let served = shop.serve();
    for _ in 0..5 {
        assert_eq!(get(served.address, "/a").text(), "main");
    }
    let failed = ["upstream=\"dead\"", "outcome=\"failed\""];
    eventually("failed copies are counted", || {
        served.metric("gwd_mirrored_requests_total", &failed) == 5.0
    });
}

#[test]
fn body_too_large_to_mirror_is_skipped_and_counted() {
    let (main, shadow) = (Upstream::saying("main"), Upstream::saying("shadow"));
    let mut shop = shop(main.address, vec![op("POST", "/a").policy("shadow")]);
    shop.upstreams.push(service("next", &[shadow.address]));
    shop.policies.push(mirror("shadow", "next"));
    let served = shop.serve();
    let mut client = Client::connect(served.address);
    let body = "x".repeat(70_000);
    client.send(&format!(
        "POST /a HTTP/1.1\r\nhost: h\r\ncontent-length: 70000\r\n\r\n{body}"
    ));
    assert_eq!(client.answer().text(), "main");
    let large = ["upstream=\"next\"", "outcome=\"too_large\""];
    eventually("the skipped copy is counted", || {
        served.metric("gwd_mirrored_requests_total", &large) == 1.0
    });
    assert_eq!(main.only().body.len(), 70_000);
    assert!(shadow.seen().is_empty());
}

/// A gateway that mirrors requests to `shadow`, with bodies of at most this length.
fn mirrored(main: &Upstream, shadow: SocketAddr, max_body_bytes: u64) -> Served {
    let mut shop = shop(main.address, vec![op("POST", "/a").policy("shadow")]);
    shop.upstreams.push(service("next", &[shadow]));
    let mirror = long_mirror("shadow", "next", max_body_bytes);
    shop.policies.push(mirror);
    shop.serve()
}

fn copies(served: &Served, outcome: &str) -> f64 {
    let outcome = format!("outcome=\"{outcome}\"");
    served.metric(
        "gwd_mirrored_requests_total",
        &["upstream=\"next\"", &outcome],
    )
}

#[test]
fn long_body_is_streamed_to_mirror() {
    let (main, shadow) = (Upstream::saying("main"), Upstream::saying("shadow"));
    let served = mirrored(&main, shadow.address, 1 << 20);
    let body = "0123456789".repeat(50_000);
    let mut client = Client::connect(served.address);
    client.send(&format!(
        "POST /a HTTP/1.1\r\nhost: h\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    ));
    assert_eq!(client.answer().text(), "main");
    client.send("POST /a HTTP/1.1\r\nhost: h\r\ntransfer-encoding: chunked\r\n\r\n");
    client.send(&format!("{:x}\r\n{body}\r\n0\r\n\r\n", body.len()));
    assert_eq!(client.answer().text(), "main");
    eventually("the mirror gets both copies", || shadow.seen().len() == 2);
    for copy in shadow.seen() {
        assert!(copy.body == body.as_bytes(), "{}", copy.head);
    }
    eventually("both copies are counted", || copies(&served, "sent") == 2.0);
}

#[test]
fn body_beyond_max_body_ends_its_copy() {
    let (main, shadow) = (Upstream::saying("main"), Upstream::saying("shadow"));
    let served = mirrored(&main, shadow.address, 100_000);
    let body = "x".repeat(200_000);
    let mut client = Client::connect(served.address);
    client.send("POST /a HTTP/1.1\r\nhost: h\r\ntransfer-encoding: chunked\r\n\r\n");
    client.send(&format!("{:x}\r\n{body}\r\n0\r\n\r\n", body.len()));
    assert_eq!(client.answer().text(), "main");
    eventually("the ended copy is counted", || {
        copies(&served, "too_large") == 1.0
    });
    assert_eq!(main.only().body.len(), body.len());
}

#[test]
fn slow_mirror_loses_its_copy_and_nothing_waits() {
    let main = Upstream::saying("main");
    // No process accepts at this address. The kernel buffers some bytes and then no more.
    let shadow = TcpListener::bind("127.0.0.1:0").unwrap();
    let served = mirrored(&main, shadow.local_addr().unwrap(), 1 << 30);
    let body = "x".repeat(32 << 20);
    let mut client = Client::connect(served.address);
    client.send(&format!(
        "POST /a HTTP/1.1\r\nhost: h\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    ));
    assert_eq!(client.answer().text(), "main");
    assert_eq!(main.only().body.len(), body.len());
    eventually("the lost copy is counted", || {
        copies(&served, "overflow") == 1.0
    });
}

#[test]
fn upload_that_breaks_off_ends_its_streamed_copy() {
    let (main, shadow) = (Upstream::saying("main"), Upstream::saying("shadow"));
    let served = mirrored(&main, shadow.address, 1 << 20);
    let mut client = Client::connect(served.address);
    let begun = "x".repeat(200_000);
    client.send(&format!(
        "POST /a HTTP/1.1\r\nhost: h\r\ncontent-length: 300000\r\n\r\n{begun}"
    ));
    drop(client);
    eventually("the incomplete copy is counted", || {
        copies(&served, "incomplete") == 1.0
    });
}

#[test]
fn a_rewrite_changes_what_the_upstream_gets() {
    let upstream = Upstream::saying("fine");
    let mut shop = shop(
        upstream.address,
        vec![op("GET", "/users/{id}").policy("inner")],
    );
    let inner = rewrite("inner", "/in{path}/{id}", "POST", "in.test");
    shop.policies.push(inner);
    let served = shop.serve();
    assert_eq!(get(served.address, "/users/a%20b?x=1").status, 200);
    let seen = upstream.only();
    assert_eq!(seen.line(), "POST /in/users/a%20b/a%20b?x=1 HTTP/1.1");
    assert_eq!(seen.field("host"), ["in.test"]);
    assert_eq!(seen.field("x-forwarded-host"), ["shop.example"]);
}

#[test]
fn a_rewrite_never_leads_out_of_what_was_authorised() {
    let upstream = Upstream::saying("fine");
    let ops = vec![op("GET", "/files/{name}:raw").policy("bare")];
    let mut shop = shop(upstream.address, ops);
    let bare = rewrite("bare", "/public/{name}/x", "GET", "in.test");
    shop.policies.push(bare);
    let served = shop.serve();
    // Some servers trim the dots of `...`, so that nothing remains of the segment.
    for path in [
        "/files/..:raw",
        "/files/a%2f..%2f..:raw",
        "/files/.:raw",
        "/files/...:raw",
        "/files/a%3Fb:raw",
    ] {
        let answer = get(served.address, path);
        assert_eq!(
            (answer.status, answer.problem().as_str()),
            (400, "path_ambiguous"),
            "{path}"
        );
    }
    assert_eq!(get(served.address, "/files/a..b:raw").status, 200);
    assert_eq!(upstream.only().line(), "GET /public/a..b/x HTTP/1.1");
}

#[test]
fn redirect_changes_the_target_and_keeps_the_query() {
    let upstream = Upstream::saying("fine");
    let mut shop = shop(upstream.address, vec![op("GET", "/a/{id}").policy("moved")]);
    shop.policies.push(redirect("moved", "/v2/{id}{path}"));
    let served = shop.serve();
    let answer = get(served.address, "/a/7?b=1");
    assert_eq!(answer.status, 301);
    assert_eq!(answer.field("location"), ["/v2/7/a/7?b=1"]);
    assert!(upstream.seen().is_empty());
}

#[test]
fn a_deprecated_operation_says_so_until_it_is_gone() {
    let upstream = Upstream::saying("fine");
    let ops = vec![
        op("GET", "/leaving").policy("leaving"),
        op("GET", "/gone").policy("gone"),
    ];
    let mut shop = shop(upstream.address, ops);
    // The dates are 2100-02-28 and 2020-01-01.
    shop.policies.push(deprecation("leaving", 20_454, 47_540));
    shop.policies.push(deprecation("gone", 18_262, 18_262));
    let served = shop.serve();
    let answer = get(served.address, "/leaving");
    assert_eq!(answer.status, 200);
    assert_eq!(answer.field("deprecation"), ["@1767225600"]);
    assert_eq!(answer.field("sunset"), ["Sun, 28 Feb 2100 23:59:59 GMT"]);
    assert_eq!(
        answer.field("link"),
        [
            "<https://a.test/v2>; rel=\"deprecation\"",
            "<https://a.test/v2>; rel=\"sunset\""
        ]
    );
    let answer = get(served.address, "/gone");
    assert_eq!(
        (answer.status, answer.problem().as_str()),
        (410, "operation_gone")
    );
    assert_eq!(answer.field("link").len(), 2);
}

#[test]
fn failed_copy_never_takes_the_next_requests_body() {
    let (main, shadow) = (Upstream::saying("main"), Upstream::saying("shadow"));
    let nowhere = dead();
    let dead = op("POST", "/dead").upstream("nowhere").policy("shadow");
    let mut shop = shop(main.address, vec![dead, op("POST", "/plain")]);
    shop.upstreams.push(service("nowhere", &[nowhere]));
    shop.upstreams.push(service("next", &[shadow.address]));
    shop.policies.push(mirror("shadow", "next"));
    let served = shop.serve();
    let mut client = Client::connect(served.address);
    client.send("POST /dead HTTP/1.1\r\nhost: h\r\ncontent-length: 3\r\n\r\nabc");
    assert_eq!(client.answer().status, 502);
    client.send("POST /plain HTTP/1.1\r\nhost: h\r\ncontent-length: 6\r\n\r\nsecret");
    assert_eq!(client.answer().text(), "main");
    let incomplete = ["upstream=\"next\"", "outcome=\"incomplete\""];
    eventually("the incomplete copy is counted", || {
        served.metric("gwd_mirrored_requests_total", &incomplete) == 1.0
    });
    assert!(shadow.seen().is_empty(), "{:?}", shadow.seen());
}
