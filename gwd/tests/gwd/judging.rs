//! Retries, breakers, limits, outlier detection and stickiness, with real upstreams.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use bundle::digest::Digest;
use policy::traffic::circuit_breaker::{self, Numbers, Scope};
use policy::traffic::retry::{self, Condition};
use policy::upstream::{AllUnhealthy, HashOn, Lb, Passive};

use crate::fixture::*;

pub(crate) fn retries(attempts: u64, on: &[Condition]) -> retry::Checked {
    let mut retry = retry::Checked::of(&policy::declared::Settings::default());
    retry.times.attempts = attempts;
    retry.times.backoff_base_ms = 1;
    retry.on = on.to_vec();
    retry
}

/// Answers with a status that a test can change.
fn telling(status: &Arc<AtomicUsize>) -> Upstream {
    let status = Arc::clone(status);
    Upstream::start(move |_, stream| {
        use std::io::Write as _;
        let status = status.load(Ordering::SeqCst);
        let head = format!("HTTP/1.1 {status} Told\r\ncontent-length: 2\r\n\r\nok");
        let _gone = stream.write_all(head.as_bytes());
        Then::Keep
    })
}

#[test]
fn a_failed_try_goes_to_another_host_and_says_which_try_it_is() {
    let (bad, good) = (
        telling(&Arc::new(AtomicUsize::new(503))),
        telling(&Arc::new(AtomicUsize::new(200))),
    );
    let mut shop = shop(bad.address, vec![op("GET", "/a"), op("POST", "/a")]);
    let mut main = service("main", &[bad.address, good.address]);
    main.retries = Some(retries(1, &[Condition::GatewayError]));
    shop.upstreams = vec![main];
    let served = shop.serve();
    for _ in 0..10 {
        let answer = fetch(served.address, "GET", "/a", "x-gateway-attempt: 7\r\n");
        assert_eq!(answer.status, 200);
    }
    for seen in good.seen() {
        let tries = seen.field("x-gateway-attempt");
        assert!(tries.is_empty() || tries == ["2"], "{tries:?}");
    }
    assert!(
        bad.seen()
            .iter()
            .all(|seen| seen.field("x-gateway-attempt").is_empty())
    );
    let count = bad.seen().len();
    assert!((4..=6).contains(&count), "{count}: half begin there");
    let retried = served.metric("gwd_upstream_retries_total", &["gateway-error"]);
    assert_eq!(retried, count as f64);
    let mut statuses: Vec<u16> = (0..10)
        .map(|_| fetch(served.address, "POST", "/a", "content-length: 0\r\n").status)
        .collect();
    statuses.sort_unstable();
    assert_eq!(
        (statuses[4], statuses[5]),
        (200, 503),
        "POST is not repeated"
    );
}

#[test]
fn what_an_operation_says_of_retries_comes_before_its_upstream() {
    let status = Arc::new(AtomicUsize::new(500));
    let upstream = telling(&status);
    let mut none = op("GET", "/none");
    none.retries = Some(retries(0, &[Condition::ServerError]));
    let mut shop = shop(upstream.address, vec![op("GET", "/a"), none]);
    shop.upstreams[0].retries = Some(retries(2, &[Condition::ServerError]));
    let served = shop.serve();
    assert_eq!(get(served.address, "/none").status, 500);
    assert_eq!(upstream.seen().len(), 1);
    assert_eq!(
        get(served.address, "/a").status,
        500,
        "the last answer is told"
    );
    assert_eq!(upstream.seen().len(), 4, "one and two more");
}

#[test]
fn a_body_is_sent_again_where_it_was_kept_and_only_then() {
    let count = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&count);
    let upstream = Upstream::start(move |seen, stream| {
        use std::io::Write as _;
        let first = counted.fetch_add(1, Ordering::SeqCst).is_multiple_of(2);
        let status = if first { 503 } else { 200 };
        let body = String::from_utf8_lossy(&seen.body);
        let head = format!(
            "HTTP/1.1 {status} Told\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        );
        let _gone = stream.write_all(head.as_bytes());
        Then::Keep
    });
    let mut shop = shop(upstream.address, vec![op("PUT", "/a")]);
    let mut retry = retries(1, &[Condition::GatewayError]);
    retry.times.max_body_bytes = 10;
    shop.upstreams[0].retries = Some(retry);
    let served = shop.serve();
    let mut client = Client::connect(served.address);
    client.send("PUT /a HTTP/1.1\r\nhost: h\r\ncontent-length: 5\r\n\r\nhello");
    let answer = client.answer();
    assert_eq!((answer.status, answer.text()), (200, "hello"));
    client.send("PUT /a HTTP/1.1\r\nhost: h\r\ncontent-length: 11\r\n\r\nhello world");
    assert_eq!(client.answer().status, 503, "too large to be kept");
}

#[test]
fn each_try_has_its_time_and_all_of_them_together() {
    let (_never, wait) = gate();
    let upstream = Upstream::start(move |_, _| {
        let _ends_with_the_test = wait.lock().unwrap().recv();
        Then::Close
    });
    let mut slow = op("GET", "/a");
    slow.timeout_ms = 250;
    let mut shop = shop(upstream.address, vec![slow]);
    let mut retry = retries(10, &[Condition::Reset]);
    retry.times.per_try_ms = Some(60);
    shop.upstreams[0].retries = Some(retry);
    let served = shop.serve();
    let start = std::time::Instant::now();
    let answer = get(served.address, "/a");
    assert_eq!(answer.status, 504);
    // The end may come while the last try still connects.
    let reasons = ["upstream_timeout", "upstream_connect_timeout"];
    assert!(reasons.contains(&answer.problem().as_str()));
    assert!(start.elapsed() < Duration::from_secs(2));
    let tries = upstream.connections.load(Ordering::SeqCst);
    assert!((3..=5).contains(&tries), "{tries}");
}

#[test]
fn a_storm_against_a_failing_upstream_stays_within_the_budget() {
    const CLIENTS: usize = 40;
    const EACH: usize = 10;
    let status = Arc::new(AtomicUsize::new(503));
    let upstream = telling(&status);
    let mut shop = shop(upstream.address, vec![op("GET", "/a")]);
    let mut retry = retries(3, &[Condition::GatewayError]);
    // Waits long enough that second tries of all clients would meet.
    (retry.times.backoff_base_ms, retry.times.backoff_max_ms) = (40, 40);
    shop.upstreams[0].retries = Some(retry);
    let served = shop.serve_with(2, gwd::node::AccessLog::Off);
    let address = served.address;
    std::thread::scope(|scope| {
        for _ in 0..CLIENTS {
            scope.spawn(move || {
                let mut client = Client::connect(address);
                for _ in 0..EACH {
                    client.send("GET /a HTTP/1.1\r\nhost: h\r\n\r\n");
                    assert_eq!(client.answer().status, 503);
                }
            });
        }
    });
    let sent = CLIENTS * EACH;
    let got = upstream.seen().len();
    // A fifth of the first tries in flight, and a few while the clients come and go.
    assert!(got > sent, "there were second tries");
    assert!(
        got * 10 <= sent * 12 + CLIENTS * 10,
        "{got} requests for {sent}"
    );
    assert!(served.metric("gwd_retry_budget_exhausted_total", &["main"]) > 0.0);
}

fn fuse(consecutive: u64, scope: Scope) -> circuit_breaker::Checked {
    circuit_breaker::Checked {
        numbers: Numbers {
            consecutive_failures: Some(consecutive),
            open_ms: 100,
            open_max_ms: 200,
            ..Numbers::default()
        },
        scope,
    }
}

#[test]
fn a_breaker_opens_refuses_at_once_and_closes_when_the_upstream_is_back() {
    let status = Arc::new(AtomicUsize::new(500));
    let upstream = telling(&status);
    let mut shop = shop(upstream.address, vec![op("GET", "/a")]);
    shop.upstreams[0].circuit_breaker = Some(fuse(3, Scope::Upstream));
    let served = shop.serve();
    for _ in 0..3 {
        assert_eq!(get(served.address, "/a").status, 500);
    }
    let answer = get(served.address, "/a");
    assert_eq!(
        (answer.status, answer.problem().as_str()),
        (503, "circuit_open")
    );
    assert_eq!(answer.field("retry-after"), ["1"]);
    assert_eq!(upstream.seen().len(), 3);
    assert_eq!(served.metric("gwd_circuit_state", &["main"]), 2.0);
    status.store(404, Ordering::SeqCst);
    eventually("a probe with 4xx closes it", || {
        get(served.address, "/a").status == 404
    });
    assert_eq!(get(served.address, "/a").status, 404);
    assert_eq!(served.metric("gwd_circuit_state", &["main"]), 0.0);
    let opened = served.metric("gwd_circuit_transitions_total", &["to=\"open\""]);
    assert_eq!(opened, 1.0);
}

#[test]
fn a_breaker_is_half_open_when_its_time_is_over_though_no_request_comes() {
    let upstream = telling(&Arc::new(AtomicUsize::new(500)));
    let mut shop = shop(upstream.address, vec![op("GET", "/a")]);
    shop.upstreams[0].circuit_breaker = Some(fuse(1, Scope::Upstream));
    let served = shop.serve();
    assert_eq!(get(served.address, "/a").status, 500);
    eventually("its time is over", || {
        served.metric("gwd_circuit_state", &["main"]) == 1.0
    });
    assert_eq!(upstream.seen().len(), 1);
}

#[test]
fn an_open_breaker_stays_open_over_a_switch() {
    let upstream = telling(&Arc::new(AtomicUsize::new(500)));
    let mut shop = shop(upstream.address, vec![op("GET", "/a")]);
    let mut fuse = fuse(1, Scope::Upstream);
    (fuse.numbers.open_ms, fuse.numbers.open_max_ms) = (60_000, 60_000);
    shop.upstreams[0].circuit_breaker = Some(fuse);
    let mut served = shop.serve();
    assert_eq!(get(served.address, "/a").status, 500);
    shop.expose_bundle = true;
    let version = shop.build(&mut served.node, Digest::of(b"two"));
    served.node.publish(&version, 2);
    assert_eq!(get(served.address, "/a").problem(), "circuit_open");
    assert_eq!(upstream.seen().len(), 1);
}

#[test]
fn a_try_that_opens_a_breaker_is_the_answer_and_not_that_it_is_open() {
    for scope in [Scope::Upstream, Scope::Target] {
        let failing = telling(&Arc::new(AtomicUsize::new(500)));
        for (address, told) in [
            (dead(), (502, "upstream_connect_failed")),
            (failing.address, (500, "-")),
        ] {
            let mut shop = shop(address, vec![op("GET", "/a")]);
            let on = [Condition::ConnectFailure, Condition::ServerError];
            shop.upstreams[0].retries = Some(retries(3, &on));
            shop.upstreams[0].circuit_breaker = Some(fuse(1, scope));
            shop.upstreams[0]
                .circuit_breaker
                .as_mut()
                .unwrap()
                .numbers
                .open_ms = 60_000;
            let served = shop.serve();
            let answer = get(served.address, "/a");
            let code = match answer.status {
                500 => "-".to_owned(),
                _ => answer.problem(),
            };
            assert_eq!((answer.status, code.as_str()), told, "{scope:?}");
            assert_eq!(get(served.address, "/a").status, 503, "{scope:?}");
        }
        assert_eq!(failing.seen().len(), 1, "{scope:?}");
    }
}

#[test]
fn a_breaker_of_targets_leaves_the_other_targets_alone() {
    let status = Arc::new(AtomicUsize::new(500));
    let (bad, good) = (telling(&status), Upstream::saying("ok"));
    let mut shop = shop(bad.address, vec![op("GET", "/a")]);
    let mut main = service("main", &[bad.address, good.address]);
    main.circuit_breaker = Some(fuse(2, Scope::Target));
    main.circuit_breaker.as_mut().unwrap().numbers.open_ms = 60_000;
    shop.upstreams = vec![main];
    let served = shop.serve();
    let failed = (0..20).filter(|_| get(served.address, "/a").status == 500);
    assert_eq!(failed.count(), 2);
}

#[test]
fn a_client_that_leaves_a_probe_gives_its_place_back() {
    let hang = Arc::new(AtomicBool::new(false));
    let status = Arc::new(AtomicUsize::new(500));
    let (hanging, told) = (Arc::clone(&hang), Arc::clone(&status));
    let (arrived, there) = std::sync::mpsc::channel();
    let (_never, wait) = gate();
    let upstream = Upstream::start(move |_, stream| {
        use std::io::Write as _;
        if hanging.load(Ordering::SeqCst) {
            arrived.send(()).unwrap();
            let _ends_with_the_test = wait.lock().unwrap().recv();
            return Then::Close;
        }
        let head = format!(
            "HTTP/1.1 {} Told\r\ncontent-length: 0\r\n\r\n",
            told.load(Ordering::SeqCst)
        );
        let _gone = stream.write_all(head.as_bytes());
        Then::Keep
    });
    let mut shop = shop(upstream.address, vec![op("GET", "/a")]);
    let mut fuse = fuse(1, Scope::Upstream);
    // A probe that does not come back would hold its place for as long as this.
    (fuse.numbers.open_ms, fuse.numbers.open_max_ms) = (1_500, 1_500);
    shop.upstreams[0].circuit_breaker = Some(fuse);
    let served = shop.serve();
    assert_eq!(get(served.address, "/a").status, 500);
    hang.store(true, Ordering::SeqCst);
    let mut client = Client::connect(served.address);
    eventually("a probe is let through", || {
        client.send("GET /a HTTP/1.1\r\nhost: h\r\n\r\n");
        match there.recv_timeout(Duration::from_millis(500)) {
            Ok(()) => true,
            Err(_) => {
                assert_eq!(client.answer().status, 503);
                false
            }
        }
    });
    hang.store(false, Ordering::SeqCst);
    status.store(200, Ordering::SeqCst);
    assert_eq!(get(served.address, "/a").status, 503, "one probe at once");
    drop(client);
    let start = std::time::Instant::now();
    eventually("the place is free", || {
        get(served.address, "/a").status == 200
    });
    assert!(start.elapsed() < Duration::from_millis(1_000));
}

#[test]
fn more_requests_than_an_upstream_bears_are_refused_at_once() {
    let (arrived, there) = std::sync::mpsc::channel();
    let (go, wait) = gate();
    let upstream = Upstream::start(move |_, stream| {
        arrived.send(()).unwrap();
        let _told = wait.lock().unwrap().recv();
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
    eventually("the place is given back", || {
        get(served.address, "/a").status == 200
    });
}

#[test]
fn a_host_that_fails_is_left_out_and_what_is_known_of_it_outlives_a_switch() {
    let status = Arc::new(AtomicUsize::new(500));
    let (bad, good) = (telling(&status), Upstream::saying("ok"));
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
    assert_eq!(failed(&served), 0, "the next version knows it, too");
    assert_eq!(served.metric("gwd_upstream_host_healthy", &[&host]), 0.0);
}

#[test]
fn where_nobody_works_it_is_said_or_all_are_tried_as_it_is_written() {
    let status = Arc::new(AtomicUsize::new(500));
    let bad = telling(&status);
    for (all_unhealthy, expected) in [(AllUnhealthy::Fail, 503), (AllUnhealthy::Spread, 500)] {
        let mut shop = shop(bad.address, vec![op("GET", "/a")]);
        shop.upstreams[0].health.passive = Some(Passive {
            consecutive_5xx: 1,
            ..Passive::default()
        });
        shop.upstreams[0].health.all_unhealthy = all_unhealthy;
        let served = shop.serve();
        assert_eq!(get(served.address, "/a").status, 500);
        assert_eq!(get(served.address, "/a").status, expected);
    }
}

#[test]
fn a_try_that_finds_nobody_is_the_last() {
    // What the first try came to is told; the second finds that the host is left out.
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

#[test]
fn a_cookie_keeps_a_client_at_its_host_and_tells_nothing() {
    let hosts: Vec<Upstream> = ["a", "b", "c"].map(Upstream::saying).into();
    let mut shop = shop(hosts[0].address, vec![op("GET", "/a")]);
    let addresses: Vec<SocketAddr> = hosts.iter().map(|host| host.address).collect();
    let mut main = service("main", &addresses);
    main.balance.lb = Lb::Maglev;
    main.balance.hash_on = Some(HashOn::Cookie("stay".into()));
    shop.upstreams = vec![main];
    let served = shop.serve_with(2, gwd::node::AccessLog::Off);
    let mut seen = std::collections::BTreeSet::new();
    for _ in 0..12 {
        let first = get(served.address, "/a");
        let [cookie] = first.field("set-cookie")[..] else {
            panic!("{first:?}")
        };
        assert!(
            cookie.ends_with("; Path=/; HttpOnly; SameSite=Lax"),
            "{cookie}"
        );
        assert!(!cookie.contains("127.0.0.1"));
        let pair = cookie.split(';').next().unwrap();
        for _ in 0..4 {
            let again = fetch(
                served.address,
                "GET",
                "/a",
                &format!("cookie: x=y; {pair}\r\n"),
            );
            assert_eq!(again.text(), first.text());
            assert!(again.field("set-cookie").is_empty());
        }
        seen.insert(first.text().to_owned());
    }
    assert!(seen.len() > 1, "newcomers are spread");
    let forged = fetch(served.address, "GET", "/a", "cookie: stay=0000\r\n");
    assert_eq!(forged.status, 200);
    assert_eq!(forged.field("set-cookie").len(), 1);
}

#[test]
fn a_cookie_of_a_client_that_came_over_tls_never_goes_without_it() {
    let upstream = Upstream::saying("ok");
    let mut shop = shop(upstream.address, vec![op("GET", "/a")]);
    let balance = &mut shop.upstreams[0].balance;
    (balance.lb, balance.hash_on) = (Lb::Ketama, Some(HashOn::Cookie("stay".into())));
    shop.listener.trusted_proxies = vec![bundle::ir::Cidr::parse("127.0.0.0/8").unwrap()];
    let served = shop.serve();
    for (scheme, secure) in [("https", true), ("http", false)] {
        let field = format!("x-forwarded-proto: {scheme}\r\n");
        let answer = fetch(served.address, "GET", "/a", &field);
        let cookie = answer.field("set-cookie")[0];
        assert_eq!(cookie.ends_with("; Secure"), secure, "{cookie}");
    }
}

#[test]
fn one_key_of_any_kind_goes_to_one_host() {
    let hosts: Vec<Upstream> = ["a", "b", "c"].map(Upstream::saying).into();
    let addresses: Vec<SocketAddr> = hosts.iter().map(|host| host.address).collect();
    let query = |key: u32| (format!("/a?x=1&user={key}"), String::new());
    let address = |key: u32| {
        let field = format!("x-forwarded-for: 203.0.113.{key}\r\n");
        ("/a".to_owned(), field)
    };
    type Asks<'a> = &'a dyn Fn(u32) -> (String, String);
    let kinds: [(HashOn, Asks<'_>); 2] = [
        (HashOn::Query("user".into()), &query),
        (HashOn::Address, &address),
    ];
    for (hash_on, asks) in kinds {
        let mut shop = shop(addresses[0], vec![op("GET", "/a")]);
        let mut main = service("main", &addresses);
        main.balance.lb = Lb::Maglev;
        main.balance.hash_on = Some(hash_on.clone());
        shop.upstreams = vec![main];
        shop.listener.trusted_proxies = vec![bundle::ir::Cidr::parse("127.0.0.0/8").unwrap()];
        let served = shop.serve_with(2, gwd::node::AccessLog::Off);
        let mut all = std::collections::BTreeSet::new();
        for key in 0..12 {
            let (path, field) = asks(key);
            let bodies = (0..4).map(|_| {
                fetch(served.address, "GET", &path, &field)
                    .text()
                    .to_owned()
            });
            let bodies: std::collections::BTreeSet<String> = bodies.collect();
            assert_eq!(bodies.len(), 1, "{hash_on:?} {key}");
            all.extend(bodies);
        }
        assert!(all.len() > 1, "{hash_on:?}");
    }
}

#[test]
fn one_key_goes_to_one_host_whichever_worker_gets_it() {
    let hosts: Vec<Upstream> = ["a", "b", "c"].map(Upstream::saying).into();
    let addresses: Vec<SocketAddr> = hosts.iter().map(|host| host.address).collect();
    for lb in [Lb::Ketama, Lb::Maglev] {
        let mut shop = shop(addresses[0], vec![op("GET", "/a")]);
        let mut main = service("main", &addresses);
        main.balance.lb = lb;
        main.balance.hash_on = Some(HashOn::Header("x-user".into()));
        shop.upstreams = vec![main];
        let served = shop.serve_with(2, gwd::node::AccessLog::Off);
        let mut bodies = std::collections::BTreeSet::new();
        for user in 0..8 {
            let field = format!("x-user: {user}\r\n");
            let texts =
                (0..4).map(|_| fetch(served.address, "GET", "/a", &field).text().to_owned());
            let texts: std::collections::BTreeSet<String> = texts.collect();
            assert_eq!(texts.len(), 1, "{user}");
            bodies.extend(texts);
        }
        assert!(bodies.len() > 1);
    }
}

#[test]
fn more_than_sixty_four_targets_are_all_reached() {
    let last = Upstream::saying("ok");
    let mut addresses: Vec<SocketAddr> = (0..3).map(|_| dead()).collect();
    addresses.push(last.address);
    let mut shop = shop(last.address, vec![op("GET", "/a")]);
    let mut main = service("main", &addresses);
    let mut targets: Vec<_> = main.targets.iter().cloned().collect();
    for number in 0..100 {
        let mut target = targets[3].clone();
        target.name = format!("t{number}");
        targets.push(target);
    }
    main.targets = bundle::ir::Set::new(targets).unwrap();
    shop.upstreams = vec![main];
    let served = shop.serve();
    for _ in 0..120 {
        assert_eq!(get(served.address, "/a").status, 200);
    }
}

#[test]
fn backends_that_are_replaced_one_by_one_cost_no_request() {
    // Three backends; each in turn stops listening and closes what it has, then comes back.
    struct Backend {
        address: SocketAddr,
        up: Arc<AtomicBool>,
    }
    fn serve(listener: &std::net::TcpListener, up: &Arc<AtomicBool>) {
        use std::io::{BufRead as _, BufReader, Write as _};
        listener.set_nonblocking(true).unwrap();
        while up.load(Ordering::SeqCst) {
            let Ok((stream, _)) = listener.accept() else {
                std::thread::park_timeout(Duration::from_millis(1));
                continue;
            };
            stream.set_nonblocking(false).unwrap();
            let up = Arc::clone(up);
            std::thread::spawn(move || {
                let mut writer = stream.try_clone().unwrap();
                let mut reader = BufReader::new(stream);
                let mut line = String::new();
                while up.load(Ordering::SeqCst)
                    && reader.read_line(&mut line).is_ok_and(|read| read > 0)
                {
                    if line == "\r\n" {
                        let _gone =
                            writer.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok");
                    }
                    line.clear();
                }
            });
        }
    }
    let begin = |address: &str| {
        let listener = loop {
            // The port is ours again as soon as the last one is through.
            match std::net::TcpListener::bind(address) {
                Ok(listener) => break listener,
                Err(_) => std::thread::park_timeout(Duration::from_millis(1)),
            }
        };
        let up = Arc::new(AtomicBool::new(true));
        let address = listener.local_addr().unwrap();
        let told = Arc::clone(&up);
        std::thread::spawn(move || serve(&listener, &told));
        Backend { address, up }
    };
    let mut backends: Vec<Backend> = (0..3).map(|_| begin("127.0.0.1:0")).collect();
    let addresses: Vec<SocketAddr> = backends.iter().map(|one| one.address).collect();
    let mut shop = shop(addresses[0], vec![op("GET", "/a")]);
    let mut main = service("main", &addresses);
    // What the kernel had taken and the backend not yet is reset when it stops listening.
    let mut retry = retries(4, &[Condition::ConnectFailure, Condition::Reset]);
    // All four clients may meet a backend that is going: more than the floor of 3.
    retry.times.budget_min = 8;
    main.retries = Some(retry);
    shop.upstreams = vec![main];
    let served = shop.serve_with(2, gwd::node::AccessLog::Off);
    let stop = AtomicBool::new(false);
    let sent = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        let clients: Vec<_> = (0..4)
            .map(|_| {
                scope.spawn(|| {
                    let mut client = Client::connect(served.address);
                    while !stop.load(Ordering::SeqCst) {
                        client.send("GET /a HTTP/1.1\r\nhost: h\r\n\r\n");
                        assert_eq!(client.answer().status, 200);
                        sent.fetch_add(1, Ordering::SeqCst);
                    }
                })
            })
            .collect();
        for backend in &mut backends {
            for _ in 0..2 {
                let mark = sent.load(Ordering::SeqCst) + 200;
                eventually("load goes on", || sent.load(Ordering::SeqCst) > mark);
                backend.up.store(false, Ordering::SeqCst);
                let mark = sent.load(Ordering::SeqCst) + 200;
                eventually("load goes on without it", || {
                    sent.load(Ordering::SeqCst) > mark
                });
                *backend = begin(&backend.address.to_string());
            }
        }
        stop.store(true, Ordering::SeqCst);
        for client in clients {
            client.join().unwrap();
        }
    });
}

#[test]
fn targets_of_the_gateways_zone_come_first_while_half_of_them_work() {
    let hosts: Vec<Upstream> = ["1", "2", "3"].map(Upstream::saying).into();
    let addresses: Vec<SocketAddr> = hosts.iter().map(|host| host.address).collect();
    let mut shop = shop(addresses[0], vec![op("GET", "/a")]);
    let mut main = service("main", &addresses);
    let zones = main.targets.iter().cloned().map(|mut target| {
        let far = target.port == addresses[2].port();
        target.zone = Some(if far { "west" } else { "east" }.to_owned());
        target
    });
    main.targets = bundle::ir::Set::new(zones.collect()).unwrap();
    main.health.passive = Some(Passive {
        consecutive_5xx: 1,
        max_ejected_ppm: 1_000_000,
        ..Passive::default()
    });
    shop.upstreams = vec![main];
    let answers = |zone: Option<&str>, dead: &[usize]| {
        let mut shop = shop.clone();
        let mut targets: Vec<_> = shop.upstreams[0].targets.iter().cloned().collect();
        for at in dead {
            let port = addresses[*at].port();
            let target = targets.iter_mut().find(|target| target.port == port);
            target.unwrap().port = self::dead().port();
        }
        shop.upstreams[0].targets = bundle::ir::Set::new(targets).unwrap();
        let mut node = gwd::node::Node::start(gwd::node::Settings {
            zone: zone.map(str::to_owned),
            ..settings()
        })
        .unwrap();
        let version = shop.build(&mut node, Digest::of(b"one"));
        node.bind(&version).unwrap();
        node.publish(&version, 1);
        let address = node.listeners()["public"];
        // The first ones find out who is dead.
        (0..12).for_each(|_| drop(get(address, "/a")));
        let mut all: Vec<String> = (0..12)
            .map(|_| get(address, "/a").text().to_owned())
            .collect();
        all.sort();
        all.dedup();
        all.concat()
    };
    assert_eq!(answers(Some("east"), &[]), "12");
    assert_eq!(answers(Some("west"), &[]), "3");
    assert_eq!(answers(None, &[]), "123");
    assert_eq!(answers(Some("north"), &[]), "123", "nobody is there");
    assert_eq!(answers(Some("east"), &[0]), "2", "half of them");
    assert_eq!(answers(Some("west"), &[2]), "12", "less than half");
}
