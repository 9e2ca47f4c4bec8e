//! Limits of an upstream, and ejection of failing hosts.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bundle::digest::Digest;
use policy::traffic::retry::Condition;
use policy::upstream::{AllUnhealthy, Passive};

use crate::fixture::*;
use crate::retries::retries;

#[test]
fn requests_over_the_upstream_limit_are_refused() {
    let (arrived, there) = std::sync::mpsc::channel();
    let (go, wait) = gate();
    let upstream = Upstream::start(move |_, stream| {
        arrived.send(()).unwrap();
        let _released = wait.lock().unwrap().recv();
        say(stream, "content-length: 2\r\n", "ok");
        Then::Keep
    });
    let mut shop = shop(upstream.address, vec![op("GET", "/a")]);
    shop.upstreams[0].limits.requests = 1;
    let served = shop.serve_with(2, gwd::node::AccessLog::Off);
    let mut first = Client::connect(served.address);
    first.send("GET /a HTTP/1.1\r\nhost: h\r\n\r\n");
    there.recv().unwrap();
    for _ in 0..4 {
        let answer = get(served.address, "/a");
        assert_eq!(
            (answer.status, answer.problem().as_str()),
            (503, "upstream_overflow")
        );
    }
    go.send(()).unwrap();
    assert_eq!(first.answer().status, 200);
    go.send(()).unwrap();
    eventually("the permit is released", || {
        get(served.address, "/a").status == 200
    });
}

#[test]
fn ejected_host_stays_ejected_over_a_switch() {
    let status = Arc::new(AtomicUsize::new(500));
    let (bad, good) = (Upstream::telling(&status), Upstream::saying("ok"));
    let mut shop = shop(bad.address, vec![op("GET", "/a")]);
    let mut main = service("main", &[bad.address, good.address]);
    main.health.passive = Some(Passive {
        consecutive_5xx: 3,
        ..Passive::default()
    });
    shop.upstreams = vec![main];
    let mut served = shop.serve_with(2, gwd::node::AccessLog::Off);
    let failed = |served: &Served| {
        let statuses = (0..30).map(|_| get(served.address, "/a").status);
        statuses.filter(|status| *status == 500).count()
    };
    assert_eq!(failed(&served), 3);
    let host = format!("host=\"{}\"", bad.address);
    assert_eq!(served.metric("gwd_upstream_host_healthy", &[&host]), 0.0);
    assert_eq!(
        served.metric("gwd_upstream_ejections_total", &["consecutive_5xx"]),
        1.0
    );
    shop.expose_bundle = true;
    let version = shop.build(&mut served.node, Digest::of(b"two"));
    served.node.publish(&version, 2);
    assert_eq!(failed(&served), 0, "the next version has the state, too");
    assert_eq!(served.metric("gwd_upstream_host_healthy", &[&host]), 0.0);
}

#[test]
fn no_usable_host_is_503_or_tries_all_as_configured() {
    // Connections to both hosts fail, so that both are ejected. If the hosts answered with failing
    // statuses, the last host would not be ejected.
    let one = dead();
    let other = SocketAddr::from(([127, 0, 0, 2], one.port()));
    for (all_unhealthy, expected) in [(AllUnhealthy::Fail, 503), (AllUnhealthy::Spread, 502)] {
        let mut shop = shop(one, vec![op("GET", "/a")]);
        shop.upstreams = vec![service("main", &[one, other])];
        shop.upstreams[0].health.passive = Some(Passive {
            consecutive_5xx: 1,
            max_ejected_ppm: 1_000_000,
            ..Passive::default()
        });
        shop.upstreams[0].health.all_unhealthy = all_unhealthy;
        let served = shop.serve();
        assert_eq!(get(served.address, "/a").status, 502);
        // The first request may have tried one host only; this request then tries the other host.
        let _either = get(served.address, "/a");
        assert_eq!(get(served.address, "/a").status, expected);
    }
}

#[test]
fn only_host_serves_on_after_statuses_and_timeouts() {
    let status = Arc::new(AtomicUsize::new(500));
    let only = Upstream::telling(&status);
    let mut shop = shop(only.address, vec![op("GET", "/a")]);
    shop.upstreams[0].health.passive = Some(Passive {
        consecutive_5xx: 1,
        ..Passive::default()
    });
    let served = shop.serve();
    for _ in 0..10 {
        assert_eq!(get(served.address, "/a").status, 500);
    }
    status.store(200, Ordering::SeqCst);
    assert_eq!(get(served.address, "/a").status, 200);
    let ejections = served.metric("gwd_upstream_ejections_total", &[]);
    assert_eq!(ejections, 0.0);
}

#[test]
fn retry_without_a_host_is_the_last() {
    // The client gets the error of the first attempt; the second attempt finds that the host is
    // ejected.
    let dead = dead();
    let mut shop = shop(dead, vec![op("GET", "/a")]);
    let main = &mut shop.upstreams[0];
    main.retries = Some(retries(5, &[Condition::ConnectFailure]));
    main.health.passive = Some(Passive {
        consecutive_5xx: 1,
        ..Passive::default()
    });
    let served = shop.serve();
    let answer = get(served.address, "/a");
    assert_eq!(answer.problem(), "upstream_connect_failed");
    assert_eq!(served.metric("gwd_upstream_retries_total", &[]), 1.0);
    assert_eq!(get(served.address, "/a").status, 503);
}
