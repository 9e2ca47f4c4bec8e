//! Requests that wait for an upstream connection: maximum time, and the reported cause of failures.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use bundle::ir::UpstreamProtocol;
use policy::traffic::circuit_breaker;
use policy::upstream::Passive;
use tokio::sync::Semaphore;

use crate::fixture::*;
use crate::http2_upstream::{Http2Upstream, ReceivedRequest, ok};
use crate::pki::{Authority, Secrets};
use crate::upstream_tls::{TlsUpstream, behind, checked, server, start, unchecked};
use crate::world::World;

const ASK: &str = "GET /a HTTP/1.1\r\nhost: h\r\n\r\n";

fn waiting(served: &Served) -> f64 {
    served.metric("gwd_upstream_pending_requests", &["main"])
}

/// Sends a request, and returns when it waits for a connection.
fn queue(served: &Served, client: &mut Client) {
    let before = waiting(served);
    client.send(ASK);
    eventually("the request waits", || waiting(served) == before + 1.0);
}

#[test]
fn waits_and_connects_have_their_own_timeouts() {
    let (go, wait) = gate();
    let upstream = Upstream::start(move |_, stream| {
        let _ends_with_the_test = wait.lock().unwrap().recv();
        say(stream, "content-length: 2\r\nconnection: close\r\n", "ok");
        Then::Close
    });
    let mut shop = shop(upstream.address, vec![op("GET", "/a")]);
    shop.upstreams[0].limits.connections = 1;
    shop.upstreams[0].connect_timeout_ms = 100;
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("access.log");
    let served = shop.serve_with(1, gwd::node::AccessLog::File(log.clone()));
    let mut clients = [(); 2].map(|()| Client::connect(served.address));
    clients[0].send(ASK);
    eventually("the upstream has the first request", || {
        upstream.seen().len() == 1
    });
    queue(&served, &mut clients[1]);
    let start = Instant::now();
    eventually("the connect timeout has passed", || {
        start.elapsed() > Duration::from_millis(300)
    });
    go.send(()).unwrap();
    go.send(()).unwrap();
    for client in &mut clients {
        assert_eq!(client.answer().status, 200);
    }
    // The access log reports waiting and connecting as separate durations.
    let mut lines: Vec<serde_json::Value> = Vec::new();
    eventually("both requests are logged", || {
        let text = std::fs::read_to_string(&log).unwrap_or_default();
        let parsed = text.lines().map(|line| serde_json::from_str(line).unwrap());
        lines = parsed.collect();
        lines.len() == 2
    });
    assert_eq!(lines[0].get("upstream_wait_ms"), None, "{lines:#?}");
    let ms = |name: &str| lines[1][name].as_f64().unwrap();
    assert!(ms("upstream_wait_ms") >= 300.0, "{lines:#?}");
    assert!(ms("upstream_connect_ms") < 100.0, "{lines:#?}");
    assert!(ms("overhead_ms") < 300.0, "{lines:#?}");
}

/// Starts a TCP proxy that serves the first connection and leaves all other connections without a
/// response. The proxy also works with TLS.
fn one_connection_proxy(behind: SocketAddr) -> (SocketAddr, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let count = Arc::<AtomicUsize>::default();
    let counted = Arc::clone(&count);
    std::thread::spawn(move || {
        let mut standing = Vec::new();
        for client in listener.incoming().map_while(Result::ok) {
            if counted.fetch_add(1, Ordering::SeqCst) > 0 {
                standing.push(client);
                continue;
            }
            let server = TcpStream::connect(behind).unwrap();
            for (mut from, mut to) in [
                (client.try_clone().unwrap(), server.try_clone().unwrap()),
                (server, client),
            ] {
                std::thread::spawn(move || {
                    let mut buffer = [0; 4_096];
                    while let Ok(read @ 1..) = from.read(&mut buffer) {
                        if to.write_all(&buffer[..read]).is_err() {
                            break;
                        }
                    }
                    let _gone = to.shutdown(std::net::Shutdown::Both);
                });
            }
        }
    });
    (address, count)
}

#[test]
fn permit_too_late_to_connect_does_not_blame_the_host() {
    let pem = Authority::new("ca").issue(&["127.0.0.1"]);
    let upstream = TlsUpstream::start(server(&pem, None, &["http/1.1"]));
    let (address, dialled) = one_connection_proxy(upstream.address);
    let mut shop = behind(address, unchecked());
    let mut slow = op("GET", "/a/held");
    slow.timeout_ms = 20_000;
    shop.ops[0].timeout_ms = 400;
    shop.ops.push(slow);
    let main = &mut shop.upstreams[0];
    main.limits.connections = 1;
    main.connect_timeout_ms = 300;
    main.health.passive = Some(Passive {
        consecutive_5xx: 1,
        ..Passive::default()
    });
    let mut breaker = circuit_breaker::Checked::of(&policy::declared::Settings::default());
    breaker.numbers.consecutive_failures = Some(1);
    main.circuit_breaker = Some(breaker);
    let served = shop.serve();
    let mut first = Client::connect(served.address);
    first.send("GET /a/held HTTP/1.1\r\nhost: h\r\n\r\n");
    eventually("the upstream has the first request", || upstream.holds());
    let mut second = Client::connect(served.address);
    queue(&served, &mut second);
    let start = Instant::now();
    eventually("little time is left", || {
        start.elapsed() > Duration::from_millis(250)
    });
    // The only connection ends with its client. The gateway opens another connection, which fails.
    drop(first);
    eventually("a second connection is opened", || {
        dialled.load(Ordering::SeqCst) == 2
    });
    let answer = second.answer();
    assert_eq!(answer.problem(), "upstream_overflow", "{answer:?}");
    let ejections = served.metric("gwd_upstream_ejections_total", &[]);
    assert_eq!(ejections, 0.0);
    // The failed connection attempt has not opened the circuit breaker. A request whose whole time
    // was spent on connecting reports the connect error.
    let answer = get(served.address, "/a");
    assert_eq!(answer.problem(), "upstream_connect_timeout");
    let ejections = served.metric("gwd_upstream_ejections_total", &[]);
    assert_eq!(ejections, 1.0);
}

#[test]
fn permit_too_late_to_answer_does_not_blame_the_host() {
    let (go, wait) = gate();
    let first = AtomicUsize::new(0);
    let upstream = Upstream::start(move |_, stream| {
        if first.fetch_add(1, Ordering::SeqCst) > 0 {
            let _gone = stream.read(&mut [0; 64]);
            return Then::Close;
        }
        let _ends_with_the_test = wait.lock().unwrap().recv();
        say(stream, "content-length: 2\r\nconnection: close\r\n", "ok");
        Then::Close
    });
    let mut shop = shop(upstream.address, vec![op("GET", "/a")]);
    shop.ops[0].timeout_ms = 2_000;
    let main = &mut shop.upstreams[0];
    main.limits.connections = 1;
    let mut breaker = circuit_breaker::Checked::of(&policy::declared::Settings::default());
    breaker.numbers.consecutive_failures = Some(1);
    main.circuit_breaker = Some(breaker);
    let served = shop.serve();
    let mut clients = [(); 2].map(|()| Client::connect(served.address));
    clients[0].send(ASK);
    eventually("the upstream has the first request", || {
        upstream.seen().len() == 1
    });
    let start = Instant::now();
    queue(&served, &mut clients[1]);
    eventually("little time is left", || {
        start.elapsed() > Duration::from_millis(1_300)
    });
    go.send(()).unwrap();
    assert_eq!(clients[0].answer().status, 200);
    let answer = clients[1].answer();
    assert_eq!(answer.problem(), "upstream_timeout", "{answer:?}");
    let opened = || served.metric("gwd_circuit_transitions_total", &["\"open\""]);
    assert_eq!(opened(), 0.0);
    // A request that times out without having waited for a connection counts as a failure of the
    // upstream.
    assert_eq!(get(served.address, "/a").problem(), "upstream_timeout");
    assert_eq!(opened(), 1.0);
}

#[test]
fn ended_stream_admits_a_waiter_for_a_connection() {
    let pem = Authority::new("ca").issue(&["127.0.0.1"]);
    let (gate, seen) = (Arc::new(Semaphore::new(0)), Arc::<AtomicUsize>::default());
    let (wait, count) = (Arc::clone(&gate), Arc::clone(&seen));
    let mut builder = h2::server::Builder::new();
    builder.max_concurrent_streams(5);
    let config = server(&pem, None, &["h2"]);
    let upstream = Http2Upstream::inside(
        Some(config),
        builder,
        usize::MAX,
        move |_, exchange: ReceivedRequest| {
            count.fetch_add(1, Ordering::SeqCst);
            let wait = Arc::clone(&wait);
            async move {
                wait.acquire().await.unwrap().forget();
                ok(exchange).await;
            }
        },
    );
    let (address, dialled) = one_connection_proxy(upstream.address);
    let mut shop = behind(address, unchecked());
    shop.upstreams[0].protocol = UpstreamProtocol::H2;
    shop.upstreams[0].connect_timeout_ms = 4_000;
    let served = shop.serve();
    let mut clients: Vec<Client> = (0..6).map(|_| Client::connect(served.address)).collect();
    for (at, client) in clients[..4].iter_mut().enumerate() {
        client.send(ASK);
        eventually("the upstream has the request", || {
            seen.load(Ordering::SeqCst) == at + 1
        });
    }
    // The fifth request tries to open a second connection, without success. The sixth waits for the
    // result.
    queue(&served, &mut clients[4]);
    eventually("a second connection is opened", || {
        dialled.load(Ordering::SeqCst) == 2
    });
    queue(&served, &mut clients[5]);
    let start = Instant::now();
    gate.add_permits(1);
    eventually("the upstream has the fifth request", || {
        seen.load(Ordering::SeqCst) == 5
    });
    assert!(start.elapsed() < Duration::from_secs(2), "at once");
    // All requests are answered on the first connection, including the request that tried to open a
    // second connection.
    gate.add_permits(5);
    for client in &mut clients {
        assert_eq!(client.answer().status, 200);
    }
    assert_eq!(dialled.load(Ordering::SeqCst), 2);
}

#[test]
fn failed_connect_fails_all_its_waiters() {
    let mute = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut shop = behind(mute.local_addr().unwrap(), unchecked());
    shop.upstreams[0].protocol = UpstreamProtocol::H2;
    shop.upstreams[0].connect_timeout_ms = 500;
    let served = shop.serve();
    let mut clients: Vec<Client> = (0..5).map(|_| Client::connect(served.address)).collect();
    let start = Instant::now();
    for client in &mut clients {
        client.send(ASK);
    }
    for client in &mut clients {
        assert_eq!(client.answer().problem(), "upstream_connect_timeout");
    }
    assert!(start.elapsed() < Duration::from_secs(2), "one dial");
}

#[test]
fn dead_connection_is_replaced_by_an_unused_one() {
    let (go, wait) = gate();
    let wait = Arc::new(wait);
    let upstream = Upstream::start(move |seen, stream| {
        let path = seen.line().split(' ').nth(1).unwrap();
        match (seen.connection, path) {
            // Hold these requests until the test releases them.
            (0, "/first") | (1, "/held") => {}
            // Leave the second request on a connection without an answer.
            (0 | 1, "/a") => {
                let _ends_with_the_test = wait.lock().unwrap().recv();
                return Then::Close;
            }
            (_, "/queued") => {}
            _ => {}
        }
        if path == "/held" || path == "/queued" {
            let _ends_with_the_test = wait.lock().unwrap().recv();
        }
        say(stream, "content-length: 2\r\n", "ok");
        Then::Keep
    });
    let paths = ["/first", "/a", "/held", "/queued"];
    let mut shop = shop(upstream.address, paths.map(|path| op("GET", path)).to_vec());
    shop.upstreams[0].limits.connections = 2;
    let served = shop.serve();
    let ask = |path: &str| {
        let mut client = Client::connect(served.address);
        client.send(&format!("GET {path} HTTP/1.1\r\nhost: h\r\n\r\n"));
        client
    };
    assert_eq!(ask("/first").answer().status, 200);
    let mut stale = ask("/a");
    eventually("the upstream has the stale request", || {
        upstream.seen().len() == 2
    });
    let mut third = ask("/held");
    eventually("the upstream has the held request", || {
        upstream.seen().len() == 3
    });
    let mut queued = ask("/queued");
    eventually("the queued request waits", || waiting(&served) == 1.0);
    // Release the requests one by one. The first connection ends, a waiting request opens another
    // in its place, and the next request waits.
    go.send(()).unwrap();
    eventually("the upstream has one more request", || {
        upstream.seen().len() == 4 && waiting(&served) == 1.0
    });
    assert_eq!(upstream.seen()[3].line(), "GET /queued HTTP/1.1");
    // The request for `/a` is sent again on a connection without an earlier request, and is
    // answered. As a second request on a connection it would fail again.
    go.send(()).unwrap();
    go.send(()).unwrap();
    go.send(()).unwrap();
    assert_eq!(stale.answer().status, 200);
    assert_eq!(third.answer().status, 200);
    assert_eq!(queued.answer().status, 200);
}

#[test]
fn connection_of_other_certificates_is_not_shared() {
    let world = World::new();
    let secrets = Secrets::of(&world);
    let (authority, clients) = (Authority::new("ca"), Authority::new("clients"));
    let pem = authority.issue(&["127.0.0.1"]);
    let upstream = TlsUpstream::start(server(&pem, Some(&clients), &["http/1.1"]));
    let own = |name, years| secrets.shown(&clients, name, years);
    let mut tls = checked(&secrets, &authority);
    tls.client_cert = Some(own("alice", 2));
    let mut shop = behind(upstream.address, tls);
    shop.upstreams[0].limits.connections = 1;
    let gwd = start(&world, &shop);
    let end = || {
        let name = "gwd_tls_cert_not_after_timestamp_seconds";
        gwd.metric(name, &["upstream/main"])
    };
    let mut first = Client::connect(gwd.public());
    first.send("GET /a/held HTTP/1.1\r\nhost: h\r\n\r\n");
    eventually("the upstream has the first request", || upstream.holds());
    let mut second = Client::connect(gwd.public());
    second.send(ASK);
    eventually("the second request waits", || {
        gwd.metric("gwd_upstream_pending_requests", &["main"]) == 1.0
    });
    let before = end();
    own("bob", 3);
    eventually("the new certificate is in use", || end() > before);
    upstream.let_go();
    assert!(first.answer().text().contains("client=CN=alice "));
    let answer = second.answer();
    assert!(answer.text().contains("client=CN=bob "), "{answer:?}");
}
