//! Limits on concurrent requests: which requests get a permit, when permits are returned, and which
//! response the others get.

use std::sync::mpsc;

use bundle::ir;

use crate::fixture::*;

/// A concurrency limit of `limit` requests, counted per value of `header`, or per route if that is
/// `None`.
fn few(name: &str, limit: u64, header: Option<&str>) -> ir::Policy {
    let mut e = minicbor::Encoder::new(Vec::new());
    e.array(2).unwrap().u8(9).unwrap().array(1).unwrap();
    e.map(2).unwrap();
    e.u8(0).unwrap().u64(limit).unwrap();
    e.u8(1).unwrap().array(2).unwrap();
    match header {
        None => e.u8(2).unwrap().array(0).unwrap(),
        Some(name) => e.u8(3).unwrap().array(1).unwrap().str(name).unwrap(),
    };
    encoded(name, &e.into_writer())
}

/// An upstream that sends half of its response, and the other half when the test sends a message.
fn halting() -> (Upstream, mpsc::Sender<()>) {
    let (open, wait) = gate();
    let upstream = Upstream::start(move |seen, stream| {
        use std::io::Write as _;
        if seen.line().contains("/quick") {
            say(stream, "content-length: 2\r\n", "ok");
            return Then::Keep;
        }
        say(stream, "content-length: 8\r\n", "half");
        let _told = wait.lock().unwrap().recv();
        let _gone = stream.write_all(b"half");
        Then::Keep
    });
    (upstream, open)
}

fn serve(upstream: &Upstream, limit: u64, header: Option<&str>) -> Served {
    let ops = ["/a", "/quick"].map(|path| op("GET", path).policy("few"));
    let mut shop = shop(upstream.address, ops.into());
    shop.policies = vec![few("few", limit, header)];
    shop.serve_with(2, gwd::node::AccessLog::Off)
}

#[test]
fn permit_is_held_until_the_last_byte_was_sent() {
    let (upstream, open) = halting();
    let served = serve(&upstream, 1, None);
    let mut first = Client::connect(served.address);
    first.send("GET /a HTTP/1.1\r\nhost: shop.example\r\n\r\n");
    let head = first.head();
    assert!(head.contains("ratelimit: \"few\";r=0"), "{head}");
    let refused = get(served.address, "/a");
    assert_eq!(
        (refused.status, refused.problem().as_str()),
        (429, "concurrency_limited")
    );
    let policy = "\"few\";q=1;qu=\"concurrent-requests\"";
    assert_eq!(refused.field("ratelimit-policy"), [policy]);
    assert_eq!(refused.field("ratelimit"), ["\"few\";r=0"]);
    assert_eq!(refused.field("retry-after"), [""; 0]);
    // Another operation has its own permits.
    let other = get(served.address, "/quick");
    assert_eq!(
        (other.status, other.field("ratelimit")),
        (200, vec!["\"few\";r=0"])
    );
    open.send(()).unwrap();
    assert_eq!(first.some(8), "halfhalf");
    open.send(()).unwrap();
    eventually("the place is free", || {
        get(served.address, "/a").status == 200
    });
    assert_eq!(
        served.metric("gwd_rejections_total", &["concurrency_limited"]),
        1.0
    );
}

#[test]
fn a_client_that_gives_up_gives_its_place_back() {
    let (upstream, open) = halting();
    let served = serve(&upstream, 1, None);
    for _ in 0..3 {
        // The test sends no message to the upstream, so the gateway must close the upstream
        // connection when the client has left.
        let mut first = Client::connect(served.address);
        eventually("a place is free", || {
            first = Client::connect(served.address);
            first.send("GET /a HTTP/1.1\r\nhost: shop.example\r\n\r\n");
            first.head().starts_with("HTTP/1.1 200")
        });
        assert_eq!(get(served.address, "/a").status, 429);
        drop(first);
    }
    drop(open);
}

#[test]
fn each_value_of_a_field_has_its_own_places() {
    let (upstream, open) = halting();
    let served = serve(&upstream, 1, Some("x-tenant"));
    let ask = |tenant: &str| {
        let mut client = Client::connect(served.address);
        let request =
            format!("GET /a HTTP/1.1\r\nhost: shop.example\r\nx-tenant: {tenant}\r\n\r\n");
        client.send(&request);
        let head = client.head();
        (client, head[9..12].to_owned())
    };
    let (_one, status) = ask("one");
    assert_eq!(status, "200");
    assert_eq!(ask("one").1, "429");
    let (_two, status) = ask("two");
    assert_eq!(status, "200");
    drop(open);
}

#[test]
fn a_refusal_further_down_the_chain_keeps_no_place() {
    let (upstream, open) = halting();
    let mut shop = shop(
        upstream.address,
        vec![op("GET", "/a").policy("few").policy("closed")],
    );
    shop.policies = vec![few("few", 1, None), closed("closed")];
    let served = shop.serve();
    for _ in 0..5 {
        assert_eq!(get(served.address, "/a").status, 503);
    }
    drop(open);
}

#[test]
fn a_websocket_has_its_place_until_it_ends() {
    let upstream = Upstream::start(crate::websocket::agree);
    let ops = vec![op("GET", "/ws").websocket().policy("few")];
    let mut shop = shop(upstream.address, ops);
    shop.policies = vec![few("few", 1, None)];
    let served = shop.serve();
    let connect = || {
        let mut client = Client::connect(served.address);
        client.send(crate::websocket::HANDSHAKE);
        let head = client.head();
        (client, head[9..12].to_owned())
    };
    let (first, status) = connect();
    assert_eq!(status, "101");
    assert_eq!(connect().1, "429");
    drop(first);
    eventually("the place is free", || connect().1 == "101");
}

#[test]
fn slow_uploads_hold_half_of_a_concurrency_limit() {
    let upstream = Upstream::saying("ok");
    let mut shop = shop(upstream.address, vec![op("POST", "/a").policy("few")]);
    shop.policies = vec![few("few", 5, None)];
    let served = shop.serve_with(2, gwd::node::AccessLog::Off);
    let held: Vec<Client> = (0..5)
        .map(|_| {
            let mut client = Client::connect(served.address);
            client.send("POST /a HTTP/1.1\r\nhost: h\r\ncontent-length: 100\r\n\r\nabc");
            client
        })
        .collect();
    eventually("all permits are held", || {
        fetch(served.address, "POST", "/a", "content-length: 0\r\n").status == 429
    });
    // Each upload becomes slow after a second without bytes. Two of them may go on.
    eventually("the slow uploads leave permits", || {
        fetch(served.address, "POST", "/a", "content-length: 0\r\n").status == 200
    });
    eventually("two uploads are left", || {
        served.metric("http_server_active_requests", &[]) == 2.0
    });
    drop(held);
}
