//! Limits of a whole request: the deadline of a gRPC client and the operation's `timeout`. A limit
//! that passes ends the request, but is no failure of a service for which the request waits.

use std::io::Write as _;
use std::net::TcpListener;

use bundle::ir::UpstreamTls;
use policy::declared::Settings;
use policy::traffic::circuit_breaker;

use crate::asking::{ASK, Ask};
use crate::fixture::*;
use crate::upstream_tls::behind;

/// Fields of a call that may take 100 ms.
const CALL: &str = "content-type: application/grpc\r\ngrpc-timeout: 100m\r\n";

/// True if a call ended at its deadline: gRPC status 4 with the reason `grpc_deadline_exceeded`.
fn is_late(answer: &Answer) -> bool {
    let message = answer.field("grpc-message").concat();
    answer.field("grpc-status") == ["4"] && message.contains("grpc_deadline_exceeded")
}

/// Configures the circuit breaker of the first upstream to open at the first failure.
fn fragile(shop: &mut Shop) {
    let mut breaker = circuit_breaker::Checked::of(&Settings::default());
    breaker.numbers.consecutive_failures = Some(1);
    shop.upstreams[0].circuit_breaker = Some(breaker);
}

#[test]
fn late_call_is_no_outage_for_equal_questions() {
    let main = Upstream::saying("main");
    let (go, wait) = gate();
    let identity = Upstream::start(move |_, stream| {
        let _released = wait.lock().unwrap().recv();
        let _gone = stream.write_all(b"HTTP/1.1 403 No\r\ncontent-length: 0\r\n\r\n");
        Then::Keep
    });
    let ask = Ask { open: true, ..ASK };
    let mut shop = ask.shop(&main, identity.address);
    shop.ops[0].method = "POST";
    let served = shop.serve();
    let public = served.address;
    let leads = std::thread::spawn(move || fetch(public, "POST", "/asked", CALL));
    eventually("the service gets the first request", || {
        identity.seen().len() == 1
    });
    let joins = std::thread::spawn(move || fetch(public, "POST", "/asked", "").status);
    assert!(is_late(&leads.join().unwrap()));
    eventually("the service gets the second request", || {
        identity.seen().len() == 2
    });
    for _ in 0..2 {
        go.send(()).unwrap();
    }
    assert_eq!(joins.join().unwrap(), 403);
    assert!(main.seen().is_empty());
}

#[test]
fn operation_timeout_in_a_question_is_no_outage() {
    let main = Upstream::saying("main");
    let silent = Upstream::start(|_, _| Then::Leave);
    let ask = Ask { open: true, ..ASK };
    let mut shop = ask.shop(&main, silent.address);
    shop.ops[0].timeout_ms = 100;
    let served = shop.serve();
    let answer = get(served.address, "/asked");
    assert_eq!(
        (answer.status, answer.problem().as_str()),
        (504, "upstream_timeout")
    );
    assert!(main.seen().is_empty());
}

#[test]
fn late_call_counts_against_no_host() {
    let upstream = Upstream::start(|seen, stream| {
        if seen.line().contains("/slow") {
            return Then::Leave;
        }
        say(stream, "content-length: 2\r\n", "ok");
        Then::Keep
    });
    let mut shop = shop(upstream.address, vec![op("POST", "/slow"), op("GET", "/a")]);
    fragile(&mut shop);
    let served = shop.serve();
    for _ in 0..3 {
        assert!(is_late(&fetch(served.address, "POST", "/slow", CALL)));
    }
    assert_eq!(get(served.address, "/a").text(), "ok");
}

#[test]
fn late_call_is_no_failed_connect() {
    // A host that accepts connections and never sends a byte, so that the TLS handshake stalls.
    let mute = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut shop = behind(mute.local_addr().unwrap(), UpstreamTls::default());
    shop.ops[0].method = "POST";
    fragile(&mut shop);
    let served = shop.serve();
    for _ in 0..3 {
        assert!(is_late(&fetch(served.address, "POST", "/a", CALL)));
    }
    assert_eq!(served.metric("gwd_circuit_state", &["main"]), 0.0);
}

#[test]
fn late_call_fails_no_shared_connect() {
    let mute = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut shop = behind(mute.local_addr().unwrap(), UpstreamTls::default());
    shop.ops[0].method = "POST";
    shop.upstreams[0].protocol = bundle::ir::UpstreamProtocol::H2;
    let served = shop.serve_with(1, gwd::node::AccessLog::Off);
    let public = served.address;
    let first = std::thread::spawn(move || fetch(public, "POST", "/a", CALL));
    let (_one, _) = mute.accept().unwrap();
    let fields = "content-type: application/grpc\r\ngrpc-timeout: 60S\r\n";
    let mut second = Client::connect(public);
    second.send(&format!("POST /a HTTP/1.1\r\nhost: h\r\n{fields}\r\n"));
    eventually("both requests wait", || {
        served.metric("http_server_active_requests", &[]) == 2.0
    });
    assert!(is_late(&first.join().unwrap()));
    // The second request now opens the connection, with its own time limit.
    let (_two, _) = mute.accept().unwrap();
    assert_eq!(served.metric("http_server_active_requests", &[]), 1.0);
}

#[test]
fn address_keeps_no_more_than_its_share_of_requests() {
    let upstream = Upstream::start(|seen, stream| {
        if seen.line().contains("/slow") {
            return Then::Leave;
        }
        say(stream, "content-length: 2\r\n", "ok");
        Then::Keep
    });
    let mut shop = shop(upstream.address, vec![op("GET", "/slow"), op("GET", "/a")]);
    shop.listener.trusted_proxies = vec![bundle::ir::Cidr::parse("127.0.0.1/32").unwrap()];
    shop.upstreams[0].limits.requests = 100_000;
    shop.upstreams[0].limits.connections = 100_000;
    let served = shop.serve_by(gwd::node::Settings {
        bounds: gwd::node::Bounds {
            requests: 128,
            ..gwd::node::Bounds::NONE
        },
        ..settings()
    });
    let head = |path: &str, client: &str| {
        format!("GET {path} HTTP/1.1\r\nhost: h\r\nx-forwarded-for: {client}\r\n\r\n")
    };
    let clients: Vec<Client> = (0..128)
        .map(|_| {
            let mut client = Client::connect(served.address);
            client.send(&head("/slow", "192.0.2.1"));
            client
        })
        .collect();
    let refused = ["resource=\"requests_per_address\""];
    eventually("requests above the share are refused", || {
        served.metric("gwd_overload_shed_total", &refused) > 0.0
    });
    // The other requests hold three quarters of the permits. A worker takes permits in batches, so
    // that the number may be higher by one batch.
    eventually("the other requests are held", || {
        (80.0..=97.0).contains(&served.metric("http_server_active_requests", &[]))
    });
    let mut other = Client::connect(served.address);
    other.send(&head("/a", "192.0.2.2"));
    assert_eq!(other.answer().text(), "ok");
    drop(clients);
}
