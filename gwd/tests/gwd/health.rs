//! Active health checks with real hosts: HTTP, TCP, gRPC.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bundle::digest::Digest;
use bytes::Bytes;
use policy::declared::{Scalar, Settings, Value};
use policy::upstream::{Active, AllUnhealthy, Passive, Unchecked};

use crate::fixture::*;
use crate::world::World;

/// Settings of a frequent health check; `set` changes further settings.
pub(crate) fn checked(set: impl FnOnce(Settings) -> Settings) -> Option<Active> {
    let often =
        |settings: Settings, key: &str, ms| settings.with(&[key], Value::One(Scalar::Duration(ms)));
    let settings = often(often(Settings::default(), "interval", 20), "timeout", 2_000);
    Some(Active::of(&set(settings)))
}

pub(crate) fn text(settings: Settings, key: &str, value: &str) -> Settings {
    settings.with(&[key], Value::One(Scalar::Text(value.to_owned())))
}

/// Starts a host that answers requests with its name, and health checks with a status that the test
/// can change.
fn host(name: &'static str, status: &Arc<AtomicUsize>) -> Upstream {
    let status = Arc::clone(status);
    Upstream::start(move |seen, stream| {
        use std::io::Write as _;
        let status = match seen.line().contains("/health") {
            true => status.load(Ordering::SeqCst),
            false => 200,
        };
        let head = format!("HTTP/1.1 {status} Told\r\ncontent-length: 1\r\n\r\n{name}");
        let _gone = stream.write_all(head.as_bytes());
        Then::Keep
    })
}

fn shared_status(status: usize) -> Arc<AtomicUsize> {
    Arc::new(AtomicUsize::new(status))
}

/// Sends `count` requests. Returns the names of the hosts that answered.
fn answers(served: &Served, count: usize) -> String {
    let mut all: Vec<String> = (0..count)
        .map(|_| get(served.address, "/a").text().to_owned())
        .collect();
    all.sort();
    all.dedup();
    all.concat()
}

fn healthy(served: &Served, host: SocketAddr) -> f64 {
    served.metric("gwd_upstream_host_healthy", &[&host.to_string()])
}

#[test]
fn failing_host_gets_no_requests_until_it_passes() {
    let (bad, fine) = (shared_status(503), shared_status(200));
    let (one, two) = (host("1", &bad), host("2", &fine));
    let mut shop = shop(one.address, vec![op("GET", "/a")]);
    let mut main = service("main", &[one.address, two.address]);
    main.health.active = checked(|all| {
        let all = text(all, "path", "/health?deep");
        let all = text(all, "host", "own.example");
        all.with(
            &["headers", "x-why"],
            Value::One(Scalar::Text("health".into())),
        )
    });
    shop.upstreams = vec![main];
    let served = shop.serve();
    eventually("the failing host is unhealthy", || {
        healthy(&served, one.address) == 0.0
    });
    assert_eq!(answers(&served, 10), "2");
    let seen = one.seen();
    assert_eq!(seen[0].line(), "GET /health?deep HTTP/1.1");
    assert_eq!(seen[0].field("host"), ["own.example"]);
    assert_eq!(seen[0].field("x-why"), ["health"]);
    bad.store(200, Ordering::SeqCst);
    eventually("the host is healthy again", || {
        healthy(&served, one.address) == 1.0
    });
    assert_eq!(answers(&served, 10), "12");
    let failed = served.metric("gwd_upstream_health_checks_total", &["failed"]);
    assert!(failed >= 1.0, "{failed}");
}

#[test]
fn no_healthy_host_is_503_or_all_hosts_serve() {
    let bad = shared_status(500);
    let one = host("1", &bad);
    let mut shop = shop(one.address, vec![op("GET", "/a")]);
    shop.upstreams[0].health.active = checked(|all| text(all, "path", "/health"));
    let served = shop.serve();
    eventually("the host is unhealthy", || {
        healthy(&served, one.address) == 0.0
    });
    let answer = get(served.address, "/a");
    assert_eq!(
        (answer.status, answer.problem().as_str()),
        (503, "no_healthy_upstream")
    );
    shop.upstreams[0].health.all_unhealthy = AllUnhealthy::Spread;
    let served = shop.serve();
    eventually("the host is unhealthy", || {
        healthy(&served, one.address) == 0.0
    });
    assert_eq!(get(served.address, "/a").status, 200);
}

#[test]
fn check_results_pass_to_the_next_version_with_checks() {
    let bad = shared_status(500);
    let one = host("1", &bad);
    let mut shop = shop(one.address, vec![op("GET", "/a")]);
    shop.upstreams[0].health.active = checked(|all| text(all, "path", "/health"));
    let mut served = shop.serve();
    eventually("the host is unhealthy", || {
        healthy(&served, one.address) == 0.0
    });
    // With an interval of one hour, the new version keeps the known result.
    shop.upstreams[0].health.active = checked(|all| {
        text(all, "path", "/health").with(&["interval"], Value::One(Scalar::Duration(3_600_000)))
    });
    shop.upstreams[0].connect_timeout_ms = 1_000;
    let version = shop.build(&mut served.node, Digest::of(b"two"));
    served.node.publish(&version, 2);
    assert_eq!(get(served.address, "/a").status, 503);
    shop.upstreams[0].health.active = None;
    let version = shop.build(&mut served.node, Digest::of(b"three"));
    served.node.publish(&version, 3);
    eventually("the host serves", || {
        get(served.address, "/a").status == 200
    });
    let requests = one.seen().len();
    drop(served);
    assert!(requests >= 1);
}

#[test]
fn unchecked_host_waits_where_configured() {
    let (open, wait) = gate();
    let one = Upstream::start(move |seen, stream| {
        if seen.line().contains("/health") {
            let _opened_or_over = wait.lock().unwrap().recv();
        }
        say(stream, "content-length: 2\r\n", "ok");
        Then::Keep
    });
    let mut shop = shop(one.address, vec![op("GET", "/a")]);
    shop.upstreams[0].health.active =
        checked(|all| text(text(all, "path", "/health"), "unchecked", "wait"));
    let active = shop.upstreams[0].health.active.as_mut().unwrap();
    assert_eq!(active.unchecked, Unchecked::Wait);
    active.times.timeout_ms = 60_000;
    let served = shop.serve();
    assert_eq!(get(served.address, "/a").status, 503);
    drop(open);
    eventually("the host serves", || {
        get(served.address, "/a").status == 200
    });
}

#[test]
fn passed_check_ends_an_ejection_by_requests() {
    for ends in [true, false] {
        let start = || {
            Upstream::start(|seen, stream| {
                use std::io::Write as _;
                let status = match seen.line() {
                    "GET /bad HTTP/1.1" => 500,
                    _ => 200,
                };
                let head = format!("HTTP/1.1 {status} Told\r\ncontent-length: 0\r\n\r\n");
                let _gone = stream.write_all(head.as_bytes());
                Then::Keep
            })
        };
        // Statuses never eject the last usable host. Start a second host, so that a host can be
        // ejected.
        let (one, other) = (start(), start());
        let mut shop = shop(one.address, vec![op("GET", "/a"), op("GET", "/bad")]);
        shop.upstreams = vec![service("main", &[one.address, other.address])];
        let health = &mut shop.upstreams[0].health;
        health.passive = Some(Passive {
            max_ejected_ppm: 1_000_000,
            ..Passive::default()
        });
        health.active = checked(|all| text(all, "path", "/health"));
        let active = health.active.as_mut().unwrap();
        active.ends_ejections = ends;
        active.times.interval_ms = 50;
        let served = shop.serve();
        for _ in 0..10 {
            get(served.address, "/bad");
        }
        let ejected = served.metric("gwd_upstream_ejections_total", &["consecutive_5xx"]);
        assert!(ejected >= 1.0 || ends, "{ejected}");
        for host in [&one, &other] {
            let checks = host.seen().len();
            eventually("two more checks arrive", || host.seen().len() >= checks + 2);
        }
        let has_request = |host: &Upstream| {
            let seen = host.seen();
            seen.iter().any(|seen| seen.line() == "GET /a HTTP/1.1")
        };
        if ends {
            eventually("the host gets requests again", || {
                get(served.address, "/a");
                has_request(&one) && has_request(&other)
            });
        } else {
            for _ in 0..20 {
                assert_eq!(get(served.address, "/a").status, 200);
            }
            assert_ne!(
                has_request(&one),
                has_request(&other),
                "one of them is left out"
            );
        }
    }
}

#[test]
fn the_answer_of_a_check_must_contain_what_is_written() {
    let one = Upstream::saying("all is well");
    for (part, works) in [("is well", 1.0), ("is bad", 0.0)] {
        let mut shop = shop(one.address, vec![op("GET", "/a")]);
        shop.upstreams[0].health.active = checked(|all| text(all, "body", part));
        let served = shop.serve();
        eventually("a check is counted", || {
            served.metric("gwd_upstream_health_checks_total", &[]) >= 1.0
        });
        assert_eq!(healthy(&served, one.address), works, "{part}");
    }
}

/// One thread makes all checks: a host that answers without an end would starve the others.
#[test]
fn endless_informational_responses_fail_a_check() {
    let liar = Upstream::start(|_, stream| {
        use std::io::Write as _;
        let hints = "HTTP/1.1 103 Early Hints\r\n\r\n".repeat(1_000);
        while stream.write_all(hints.as_bytes()).is_ok() {}
        Then::Close
    });
    let mut shop = shop(liar.address, vec![op("GET", "/a")]);
    shop.upstreams[0].health.active = checked(|all| text(all, "path", "/health"));
    let world = World::new();
    world.release(&shop.gateway());
    let gwd = world.start();
    let why = || gwd.status()["upstreams"][0]["hosts"][0]["why"].clone();
    eventually("the check fails", || {
        why() == "more than 16 informational responses"
    });
}

#[test]
fn a_tcp_check_asks_for_a_connection_and_no_more() {
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let open = silent.local_addr().unwrap();
    let closed = dead();
    let mut shop = shop(open, vec![op("GET", "/a")]);
    let mut main = service("main", &[open, closed]);
    main.health.active = checked(|all| text(all, "kind", "tcp"));
    shop.upstreams = vec![main];
    let served = shop.serve();
    eventually("both checks are counted", || {
        let count = |result| served.metric("gwd_upstream_health_checks_total", &[result]);
        count("passed") >= 1.0 && count("failed") >= 1.0
    });
    assert_eq!(healthy(&served, open), 1.0);
    assert_eq!(healthy(&served, closed), 0.0);
}

/// Starts a host that implements gRPC's health protocol over HTTP/2 and reports `status`.
fn grpc_host(status: &Arc<AtomicUsize>) -> SocketAddr {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let status = Arc::clone(status);
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(async move {
            listener.set_nonblocking(true).unwrap();
            let listener = tokio::net::TcpListener::from_std(listener).unwrap();
            while let Ok((stream, _)) = listener.accept().await {
                let status = Arc::clone(&status);
                tokio::spawn(async move {
                    let mut connection = h2::server::handshake(stream).await.unwrap();
                    while let Some(Ok((request, mut reply))) = connection.accept().await {
                        assert_eq!(request.uri().path(), "/grpc.health.v1.Health/Check");
                        assert_eq!(request.headers()["content-type"], "application/grpc");
                        let head = http::Response::builder()
                            .header("content-type", "application/grpc")
                            .body(())
                            .unwrap();
                        let mut send = reply.send_response(head, false).unwrap();
                        let serving_status = u8::try_from(status.load(Ordering::SeqCst)).unwrap();
                        let frame = [0, 0, 0, 0, 2, 8, serving_status];
                        send.send_data(Bytes::copy_from_slice(&frame), false)
                            .unwrap();
                        let mut trailers = http::HeaderMap::new();
                        trailers.insert("grpc-status", "0".parse().unwrap());
                        send.send_trailers(trailers).unwrap();
                    }
                });
            }
        });
    });
    address
}

#[test]
fn a_grpc_check_believes_serving_and_nothing_else() {
    const SERVING: usize = 1;
    const NOT_SERVING: usize = 2;
    let status = shared_status(NOT_SERVING);
    let one = grpc_host(&status);
    let mut shop = shop(one, vec![op("GET", "/a")]);
    shop.upstreams[0].health.active = checked(|all| text(all, "kind", "grpc"));
    let served = shop.serve();
    eventually("the host is unhealthy", || healthy(&served, one) == 0.0);
    status.store(SERVING, Ordering::SeqCst);
    eventually("the host is healthy", || healthy(&served, one) == 1.0);
    status.store(NOT_SERVING, Ordering::SeqCst);
    eventually("the host is unhealthy again", || {
        healthy(&served, one) == 0.0
    });
}

#[test]
fn status_names_failing_hosts_with_reasons() {
    let one = host("1", &shared_status(418));
    let mut shop = shop(one.address, vec![op("GET", "/a")]);
    shop.upstreams[0].health.active = checked(|all| text(all, "path", "/health"));
    let world = World::new();
    world.release(&shop.gateway());
    let gwd = world.start();
    let mut seen = serde_json::Value::Null;
    eventually("status shows the failed check", || {
        seen = gwd.status()["upstreams"][0].take();
        !seen["hosts"][0]["check"].is_null()
    });
    assert_eq!(seen["upstream"], "main");
    let host = &seen["hosts"][0];
    assert_eq!(host["host"], one.address.to_string());
    assert_eq!(
        (&host["works"], &host["check"]),
        (&false.into(), &"fails".into())
    );
    assert_eq!(host["why"], "it answered 418");
    assert_eq!(
        (&host["circuit"], &seen["requests"]),
        (&"closed".into(), &0.into())
    );
}
